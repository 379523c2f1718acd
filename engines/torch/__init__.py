"""Torch, eager or compiled: the reference that other engines are tested against."""
