"""Data checks: Great Expectations over a table of frames."""
