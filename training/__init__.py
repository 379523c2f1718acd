"""The synthetic-to-realistic stack: pairs, training, step distillation, evaluation."""
