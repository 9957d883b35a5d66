"""Pictures to answers in one process."""
