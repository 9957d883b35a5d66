"""How well a version does on pictures that it never saw."""
