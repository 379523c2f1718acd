"""Step distillation with pairs: a few-step student of a teacher of many steps."""
