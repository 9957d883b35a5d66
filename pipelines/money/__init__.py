"""What things cost, may cost and will cost."""
