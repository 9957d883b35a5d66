"""Predictions in one process: image bytes in, labels out."""
