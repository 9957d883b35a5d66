"""The request formats that the endpoint answers."""
