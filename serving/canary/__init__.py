"""A new version beside the one that serves: a share of the traffic, figures of both, and a verdict."""
