"""A version's answers about a camera, a stream or a video as its pictures come."""
