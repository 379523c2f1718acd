"""The two tasks, segmentation and detection: network, loss and metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from realmaster_live.errors import PairError
from realmaster_live.training.perception.augment import Batch
from realmaster_live.training.perception.detection import (
    average_precision,
    detect,
    detection_loss,
)
from realmaster_live.training.perception.examples import Example
from realmaster_live.training.perception.groups import DETECTED, NAMES
from realmaster_live.training.perception.networks import Detector, Segmenter
from realmaster_live.training.perception.pixels import as_tensor
from realmaster_live.training.perception.segmentation import (
    confusion,
    group_weights,
    intersection_over_union,
    segment,
    segmentation_loss,
)

SEGMENTATION, DETECTION = "segmentation", "detection"
MEASURES = {SEGMENTATION: "IoU", DETECTION: "AP50"}


@dataclass(frozen=True, kw_only=True)
class TestSet:
    """A test set of one variant.

    Attributes:
        name: name shown in tables.
        merged: (K,) maps predicted groups to those of a set that has fewer; None if it has all.
    """

    name: str
    examples: Sequence[Example]
    variant: str
    merged: NDArray[np.uint8] | None = None

    __test__ = False  # keeps pytest from collecting the class


class Trainable(Protocol):
    """A training objective: a network and its loss."""

    def network(self) -> nn.Module:
        """Return a new network; its weights follow from torch's seed."""

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the loss of a batch."""


class Task(Trainable, Protocol):
    """A training objective with its metrics."""

    def figures(self, network: nn.Module, test: TestSet) -> dict[str, float]:
        """Return class -> percent on a test set; empty where it has no labels for the task."""


class Segmentation:
    """Semantic segmentation into groups."""

    def __init__(self, examples: Sequence[Example]) -> None:
        """Take the training examples, whose group frequencies weight the loss."""
        self._weights = group_weights(examples)

    def network(self) -> nn.Module:
        """Return a new network."""
        return Segmenter(len(NAMES))

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the cross-entropy."""
        return segmentation_loss(network(as_tensor(batch.pictures)), batch, self._weights)

    def figures(self, network: nn.Module, test: TestSet) -> dict[str, float]:
        """Return each group's intersection over union."""
        counts = np.zeros((len(NAMES), len(NAMES)), np.int64)
        for example in test.examples:
            if example.groups is not None:
                predicted = segment(network, example.pictures[test.variant])
                counts += confusion(predicted, example.groups, test.merged)
        return intersection_over_union(counts)


class Detection:
    """Detection of vehicles, pedestrians and two-wheelers."""

    def network(self) -> nn.Module:
        """Return a new network."""
        return Detector(len(DETECTED))

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Return the sum of the heatmap's loss and those of size and offset."""
        return detection_loss(network(as_tensor(batch.pictures)), batch)

    def figures(self, network: nn.Module, test: TestSet) -> dict[str, float]:
        """Return each kind's average precision."""
        labelled = [(e, e.boxes) for e in test.examples if e.boxes is not None]
        found = [detect(network, example.pictures[test.variant]) for example, _ in labelled]
        return average_precision(found, [boxes for _, boxes in labelled])


def make_task(name: str, examples: Sequence[Example]) -> Task:
    """Return the task of this name; PairError if the examples have no labels for it."""
    if name == DETECTION:
        if not any(e.boxes is not None and (~e.boxes.hard).any() for e in examples):
            raise PairError(
                "expected objects large enough to detect in the training clips, got none: render "
                "more or larger ones"
            )
        return Detection()
    return Segmentation(examples)


def mean(figures: Mapping[str, float]) -> float:
    """Return the mean over classes: mIoU or mAP."""
    return float(np.mean(list(figures.values()))) if figures else float("nan")
