"""Evaluation of prompts for weathers on recorded drives, changes in mid-sequence included."""
