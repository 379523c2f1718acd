"""Wan VACE at a size for tests, saved like the hub's."""

from pathlib import Path

import torch

from realmaster_live.training.rehearsal.folders import TINY, video_parts, write_vace


def save_vace(folder: Path) -> Path:
    """Write a pipeline folder that WanVACEPipeline.from_pretrained loads."""
    torch.manual_seed(0)
    write_vace(folder, TINY, video_parts(TINY))
    return folder
