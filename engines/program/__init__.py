"""The sequence of graph runs and copies that realizes a chunk on any device."""
