"""Labels doubted and proposed: suggestions, what a person decided about them, and the next version that comes of it."""
