"""The command line: one small file per group of commands, each command one call to one function."""
