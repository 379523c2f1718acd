"""Predicts a training run's memory, operations and hours from shapes alone, before it starts."""
