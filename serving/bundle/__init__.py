"""What a bundle is, says and must hash to."""
