"""Answers of a version for a whole folder or video, into one file."""
