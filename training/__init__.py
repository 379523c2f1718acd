"""Training: pairs, IC-LoRA, the embedded model's stages, step distillation, evaluation."""
