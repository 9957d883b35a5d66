"""Versions of models and data sets in detail: where they come from, what proves them, and how they differ."""
