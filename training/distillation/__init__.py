"""Step distillation on pairs: from a teacher of many steps to a student of few."""
