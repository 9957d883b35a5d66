"""The pages: thin scripts over queries and charts."""
