"""Measures that an evaluation may have beside the usual ones, by networks and other means."""
