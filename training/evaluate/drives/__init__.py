"""Evaluation of recorded drives: the realized film beside the render and other methods' films."""
