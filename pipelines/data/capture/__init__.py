"""Takes filmed from a camera: what a camera gives, one file per take, and the order in which a person films."""
