"""Whether realized pictures keep to the simulator's labels, and what is done where they do not."""
