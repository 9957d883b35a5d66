"""Deploy targets: a folder each, with fixed inner names. `target` speaks our words."""
