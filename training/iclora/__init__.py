"""IC-LoRA: low-rank adapters that learn a look from pairs of rendered and photoreal latents."""
