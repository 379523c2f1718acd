"""Items as tensors, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import default_collate

from realmaster_live.datasets.frame_items import PER_ITEM, Item

CHANNELS_LAST = ("image", "sim", "real", "flow")  # as recorded; tensors have them first
BOXES = ("boxes_2d", "boxes_3d")


def tensors_of(frames: Sequence[Item], *, windowed: bool) -> Item:
    """Return the frames of an item as one mapping of tensors.

    Pictures are (3, H, W) uint8, flow (2, H, W), other labels (H, W). `windowed` puts T frames in
    front of that, and makes boxes a list of T mappings.
    """
    if not windowed:
        return {name: _tensor(name, value) for name, value in frames[0].items()}
    item: Item = {}
    for name, value in frames[0].items():
        if name in PER_ITEM:
            item[name] = value
        elif name in BOXES:
            item[name] = [_tensor(name, frame[name]) for frame in frames]
        else:
            item[name] = _tensor(name, np.stack([frame[name] for frame in frames]))
    return item


def collate(items: Sequence[Item]) -> Item:
    """Return a batch: tensors stacked, boxes and other values of differing sizes as lists.

    Pass it as `collate_fn` to a DataLoader whose items have boxes.
    """
    batch: Item = {}
    for name in items[0]:
        values = [item[name] for item in items]
        tensors = all(isinstance(value, torch.Tensor) for value in values)
        alike = tensors and len({value.shape for value in values}) == 1
        plain = all(isinstance(value, int | float) for value in values)
        batch[name] = default_collate(values) if alike or plain else values
    return batch


def _tensor(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tensor(key, one) for key, one in value.items()}
    if not isinstance(value, np.ndarray):
        return value
    tensor = torch.from_numpy(value)
    return tensor.movedim(-1, -3) if name in CHANNELS_LAST else tensor
