"""Recipes of drives: what `realmaster dataset collect` records, one drive after another."""
