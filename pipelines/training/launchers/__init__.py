"""Places where trainers run."""
