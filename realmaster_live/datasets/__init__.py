"""Recordings as data sets for training: exports in common formats, and torch's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realmaster_live.lazy import lazy_names

if TYPE_CHECKING:
    from realmaster_live.datasets.hub_frames import hugging_face
    from realmaster_live.datasets.options import Rules, SplitRule
    from realmaster_live.datasets.selection import Selection
    from realmaster_live.datasets.summary import Summary
    from realmaster_live.datasets.torch.frame_dataset import FrameDataset
    from realmaster_live.datasets.torch.frame_stream import FrameStream
    from realmaster_live.datasets.torch.tensors import collate

_HOMES = {
    "FrameDataset": "realmaster_live.datasets.torch.frame_dataset",
    "FrameStream": "realmaster_live.datasets.torch.frame_stream",
    "Rules": "realmaster_live.datasets.options",
    "Selection": "realmaster_live.datasets.selection",
    "SplitRule": "realmaster_live.datasets.options",
    "Summary": "realmaster_live.datasets.summary",
    "collate": "realmaster_live.datasets.torch.tensors",
    "hugging_face": "realmaster_live.datasets.hub_frames",
}
__all__ = [
    "FrameDataset",
    "FrameStream",
    "Rules",
    "Selection",
    "SplitRule",
    "Summary",
    "collate",
    "hugging_face",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, extras={"hugging_face": "huggingface"})
