"""MLflow behind our protocols; the only place that imports it."""
