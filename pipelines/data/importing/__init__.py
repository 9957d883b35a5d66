"""Folders as they lie, in the layouts that labelling tools and trainers write, read without changing them."""
