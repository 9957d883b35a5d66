"""The whole way once, on film that it draws itself."""
