"""Exporters: from a registered model's files to a bundle, with parity measured from image bytes."""
