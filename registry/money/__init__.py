"""Money: exact amounts, dated prices, and what a bill does with both."""
