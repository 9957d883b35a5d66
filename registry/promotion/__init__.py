"""How a version comes to hold a stage, and what follows from that."""
