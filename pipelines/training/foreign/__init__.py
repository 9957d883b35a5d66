"""Models that were trained elsewhere, opened without running what they might hold, and written as one of our own folders."""
