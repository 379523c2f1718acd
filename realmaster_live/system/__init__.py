"""Files, processes and the machine itself."""
