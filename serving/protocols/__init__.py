"""The ways in: each turns a request's body into pictures, and rows of answers into a response's body. No HTTP, no model."""
