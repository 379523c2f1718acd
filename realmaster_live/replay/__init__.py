"""Driving footage as it lies on a disk or in a simulator's log, realized again in batches."""
