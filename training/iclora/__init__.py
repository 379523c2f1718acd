"""IC-LoRA: low-rank adapters, trained on pairs of rendered and photoreal latents."""
