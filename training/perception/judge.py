"""The fidelity gate's judge network: training, export, and test of the file as the gate opens it.

It is trained on the same frames rendered, realized and path-traced. The ONNX file follows the
format in `realmaster_live.fidelity.judge`: batch norms folded, larger weights in float16.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

from realmaster_live.engines.export.graphs import Graph, to_onnx
from realmaster_live.fidelity.judge import INPUT, MULTIPLE, OUTPUTS, Judge
from realmaster_live.training.perception.examples import Example
from realmaster_live.training.perception.groups import NAMES, carla_numbers
from realmaster_live.training.perception.judge_network import MIDDLE, Separable
from realmaster_live.training.perception.segmentation import confusion, intersection_over_union

MIN_HALVED_VALUES = 64  # smaller tensors stay float32
MAX_SIDE_UNITS = 256  # units of 32 pixels: the longest side that the graph is traced for
PAIRS = 4000  # pairs of pixels in each picture whose depth order is compared
MIN_DEPTH_RATIO = 1.1  # pairs of pixels with a smaller ratio of depths are not compared


@dataclass(frozen=True, kw_only=True)
class JudgeFigures:
    """A judge's scores on pictures of one variant, in percent.

    Attributes:
        mean_iou: mean of `iou`.
        iou: group -> IoU at a quarter of the resolution, for the groups that occur.
        right_order: share of pixel pairs in the correct depth order, among random pairs without
            sky whose depths differ by more than 10 percent.
    """

    variant: str
    mean_iou: float
    right_order: float
    iou: dict[str, float]


def export_judge(network: nn.Module, path: Path) -> None:
    """Fold the network's batch norms in place, write its file, and open it as the gate does."""
    network = network.eval().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for module in network.modules():
        if isinstance(module, Separable):
            module.fold()
    rows, columns = (torch.export.Dim(n, min=2, max=MAX_SIDE_UNITS) for n in ("rows", "columns"))
    model = to_onnx(
        Graph(
            name="judge",
            module=network,
            inputs={INPUT: torch.zeros(1, 3, 4 * MULTIPLE, 6 * MULTIPLE)},
            dynamic_axes={INPUT: {2: MULTIPLE * rows, 3: MULTIPLE * columns}},
            outputs=list(OUTPUTS),
        )
    )
    _halve(model)
    groups = {name: list(numbers) for name, numbers in carla_numbers().items()}
    del model.metadata_props[:]
    model.metadata_props.add(key="groups", value=json.dumps(groups))
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))
    Judge(path)


def _halve(model: onnx.ModelProto) -> None:
    """Store a model's larger weights as float16, with casts back to float32."""
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size >= MIN_HALVED_VALUES:
            half = numpy_helper.from_array(values.astype(np.float16), f"{tensor.name}.half")
            casts.append(helper.make_node("Cast", [half.name], [tensor.name], to=1))
            tensor.CopyFrom(half)
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def judge_figures(judge: Judge, examples: Sequence[Example], variant: str) -> JudgeFigures:
    """Return the scores of a judge's file on the examples of a variant."""
    counts = np.zeros((len(NAMES), len(NAMES)), np.int64)
    right = compared = 0
    rng = np.random.default_rng(0)
    for example in examples:
        if example.groups is None or example.depth is None:
            continue
        seen = judge.predict(example.pictures[variant])
        predicted = seen.share.argmax(0).astype(np.uint8)
        counts += confusion(predicted, example.groups[MIDDLE, MIDDLE])
        metres = example.depth[MIDDLE, MIDDLE].astype(np.float32).ravel()
        solid = np.flatnonzero(np.isfinite(metres))
        one, other = rng.choice(solid, (2, PAIRS))
        ratio = np.log(metres[one] / metres[other])
        clear = np.abs(ratio) > np.log(MIN_DEPTH_RATIO)
        difference = seen.log_depth.ravel()[one] - seen.log_depth.ravel()[other]
        right += int(((np.sign(difference) == np.sign(ratio)) & clear).sum())
        compared += int(clear.sum())
    groups = intersection_over_union(counts)
    return JudgeFigures(
        variant=variant,
        mean_iou=float(np.mean(list(groups.values()))),
        right_order=100.0 * right / max(1, compared),
        iou=groups,
    )
