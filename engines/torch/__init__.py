"""Engines in torch, eager or compiled, which are the reference for all others."""
