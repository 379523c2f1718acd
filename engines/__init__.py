"""Engines: what makes a captured chunk photoreal."""
