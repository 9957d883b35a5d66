"""Modelyard inside MLflow: entry points that MLflow loads."""
