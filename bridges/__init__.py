"""Bridges to simulators: what captures frames and, where it can, takes realized ones back."""
