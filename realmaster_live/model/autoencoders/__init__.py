"""Video autoencoders that a live engine can run: ours, TAEHV's and Wan's own."""
