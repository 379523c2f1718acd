"""Pair generation: from recordings to photoreal clips, stage by stage, in a store that resumes."""
