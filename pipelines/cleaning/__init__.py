"""What a home and the user's cache folder hold that nothing refers to any more, and its removal."""
