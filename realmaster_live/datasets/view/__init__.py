"""A page on this machine that shows recordings: `realmaster dataset view`."""
