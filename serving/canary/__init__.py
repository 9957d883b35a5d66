"""A canary: a new version gets a share of the traffic, is measured beside the stable version, and gets a verdict."""
