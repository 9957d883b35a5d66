"""Endpoints on the Live page: as they are now, and as they were."""
