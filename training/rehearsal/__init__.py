"""Runs the whole chain from a base model's folder to a live engine on random weights."""
