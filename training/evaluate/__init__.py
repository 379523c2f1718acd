"""Judging a model on held-out clips, through the live engine's own code path."""
