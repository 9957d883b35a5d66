"""Commands about what goes into training: one file per topic."""
