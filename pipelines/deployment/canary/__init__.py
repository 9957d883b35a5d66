"""A new version gets a share of its stage's traffic first; the figures decide how that ends."""
