"""Gates: each judges evidence and returns findings with figures. Missing or NaN evidence fails."""
