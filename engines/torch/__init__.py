"""Torch, eager or compiled: the truth that the other engines are held to."""
