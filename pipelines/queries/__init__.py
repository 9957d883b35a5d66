"""Answers from what is already known; nothing changes."""
