"""The local target: a process on this machine, bound to loopback."""
