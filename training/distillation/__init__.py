"""Step distillation on pairs: from a teacher with many steps to a student with few."""
