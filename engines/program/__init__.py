"""The sequence of graph runs and copies that realizes a chunk, the same on every device."""
