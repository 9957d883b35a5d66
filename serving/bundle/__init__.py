"""What a bundle is, what it contains, and the digests that its files must have."""
