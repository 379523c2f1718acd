"""Evaluation of a model on held-out clips, through the live engine's code path."""
