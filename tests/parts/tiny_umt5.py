"""A text encoder of random weights, laid out as in a diffusers pipeline."""

from pathlib import Path

import torch

from realmaster_live.training.rehearsal.folders import TINY, text_parts

WIDTH = TINY.text["d_model"]


def save_encoder(folder: Path) -> Path:
    """Write a random UMT5 encoder and a tokenizer of whole words."""
    torch.manual_seed(0)
    tokenizer, encoder = text_parts(TINY, ["rain", "snow", "falls", "on", "the", "road"])
    tokenizer.save_pretrained(folder / "tokenizer")
    encoder.save_pretrained(folder / "text_encoder")
    return folder
