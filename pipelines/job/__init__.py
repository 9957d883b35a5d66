"""The job file: what to make, what it must prove, and where it goes."""
