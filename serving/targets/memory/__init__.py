"""The in-memory target, for tests and dry runs."""
