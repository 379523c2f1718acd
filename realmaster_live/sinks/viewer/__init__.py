"""The live view: a page for browsers that shows, compares, controls and records a run."""
