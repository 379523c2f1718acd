"""What flows: frames, chunks, the things and cameras in them, and their labels."""
