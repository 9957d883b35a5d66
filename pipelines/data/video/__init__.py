"""Clips read with FFmpeg's libraries (PyAV): what a file is, its frames by their timestamps, and their pictures."""
