"""The whole chain from a base model's folder to a live engine, run on random weights."""
