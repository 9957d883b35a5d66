"""Pictures that are in two splits in one way or another: found from bytes, pixels, names and times, and what they are worth."""
