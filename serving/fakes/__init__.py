"""Doubles of the clouds over real HTTP: for tests, and for trying a deployment without an account."""
