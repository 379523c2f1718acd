"""A chunk's program over exported graphs, the same on every device."""
