"""FP8: quantizes the linear layers of the transformer's blocks in a bfloat16 graph.

Weights are stored as E4M3 with a scale per output channel; activations have a static scale from a
calibration. A compiler fuses QuantizeLinear and DequantizeLinear pairs into the products.
The format is that of Micikevicius et al., "FP8 Formats for Deep Learning", 2022.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from realmaster_live.errors import BuildError

LARGEST = 448.0  # the largest finite E4M3 value
SMALLEST_SM = 89  # compute capability of the first GPUs that multiply in FP8
PEAKS = "peaks"  # prefix of the output that `add_peak_outputs` adds
SUFFIX = ".fp8"
BLOCK = re.compile(r"blocks\.\d+\..*\.weight")

Peaks = dict[str, dict[str, float]]  # graph -> activation -> the largest magnitude recorded


def block_weights(places: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """Return the names of a graph's weights that belong to blocks, from `weight_names`' result."""
    return {place["weight"] for name, place in places.items() if BLOCK.fullmatch(name)}


def block_linears(model: onnx.ModelProto, weights: Collection[str]) -> list[onnx.NodeProto]:
    """Return the MatMul nodes that multiply activations by weights of blocks."""
    return [
        node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in weights
    ]


def activations(model: onnx.ModelProto, weights: Collection[str]) -> list[str]:
    """Return the inputs of the blocks' linear layers, each once, in the graph's order."""
    return list(dict.fromkeys(node.input[0] for node in block_linears(model, weights)))


def add_peak_outputs(model: onnx.ModelProto, weights: Collection[str], name: str) -> list[str]:
    """Add an output with the largest magnitude of each activation to a bfloat16 graph, in place.

    Returns:
        the activations' names, in the order of the new output `peaks.NAME`, (N,) float32.
    """
    observed, nodes = activations(model, weights), []
    for place, activation in enumerate(observed):
        wide, size, peak = (f"{PEAKS}.{place}.{step}" for step in ("wide", "size", "peak"))
        nodes += [
            helper.make_node("Cast", [activation], [wide], to=TensorProto.FLOAT),
            helper.make_node("Abs", [wide], [size]),
            helper.make_node("ReduceMax", [size], [f"{peak}.all"], keepdims=1),
            helper.make_node("Reshape", [f"{peak}.all", f"{PEAKS}.one"], [peak]),
        ]
    if observed:
        one = numpy_helper.from_array(np.ones(1, np.int64), f"{PEAKS}.one")
        peaks = [f"{PEAKS}.{place}.peak" for place in range(len(observed))]
        nodes.append(helper.make_node("Concat", peaks, [f"{PEAKS}.{name}"], axis=0))
        model.graph.initializer.append(one)
        model.graph.output.append(
            helper.make_tensor_value_info(f"{PEAKS}.{name}", TensorProto.FLOAT, [len(observed)])
        )
    model.graph.node.extend(nodes)
    return observed


def quantize_linears(
    model: onnx.ModelProto,
    weights: Collection[str],
    peaks: Mapping[str, float],
    *,
    emulate: bool = False,
) -> None:
    """Compute the linear layers of a bfloat16 graph's blocks in E4M3, in place.

    Args:
        model: a graph from `to_bfloat16`.
        weights: names of the blocks' weights (inputs, outputs) in it.
        peaks: the largest magnitude of each activation.
        emulate: compute the same in float32, with results rounded to bfloat16.

    Raises:
        BuildError: an activation was not calibrated.
    """
    graph = model.graph
    linears = {node.output[0] for node in block_linears(model, weights)}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    missing = [name for name in activations(model, weights) if name not in peaks]
    if missing:
        raise BuildError(
            f"expected a scale for every activation of the blocks, got none for {missing[0]}: "
            "calibrate on this export"
        )
    made: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    tensors: list[onnx.TensorProto] = []

    def scales(values: NDArray[np.float32], name: str) -> None:
        tensors.append(_scales(values, name, emulate=emulate))

    for node in graph.node:
        if node.output[0] not in linears:
            nodes.append(node)
            continue
        activation, weight = node.input
        if activation not in made:
            small, scale = f"{activation}{SUFFIX}", f"{activation}{SUFFIX}.scale"
            made[activation] = f"{small}.value"
            scales(np.asarray(peaks[activation] / LARGEST or 1.0, np.float32), scale)
            tensors.append(_e4m3(np.zeros((), np.float32), f"{small}.zero"))
            wide = activation
            if emulate:
                wide = f"{small}.wide"
                nodes.append(helper.make_node("Cast", [activation], [wide], to=TensorProto.FLOAT))
            nodes += [
                helper.make_node("QuantizeLinear", [wide, scale, f"{small}.zero"], [small]),
                helper.make_node("DequantizeLinear", [small, scale], [made[activation]]),
            ]
        if weight not in made:
            small, scale = f"{weight}{SUFFIX}", f"{weight}{SUFFIX}.scale"
            made[weight] = f"{small}.value"
            values = _float32(stored[weight])
            peak = np.abs(values).max(0)
            scales(np.where(peak > 0, peak / LARGEST, 1.0).astype(np.float32), scale)
            tensors.append(_e4m3(values / _float32(tensors[-1]), small))
            nodes.append(
                helper.make_node("DequantizeLinear", [small, scale], [made[weight]], axis=1)
            )
        node.input[:] = [made[activation], made[weight]]
        nodes.append(node)
        if emulate:
            answer = node.output[0]
            node.output[0] = f"{answer}.exact"
            nodes.append(
                helper.make_node("Cast", [node.output[0]], [answer], to=TensorProto.BFLOAT16)
            )
    used = {name for node in nodes for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend([*kept, *tensors])


def _scales(values: NDArray[np.float32], name: str, *, emulate: bool) -> onnx.TensorProto:
    """Return scales as bfloat16, or with the same values as float32 for emulation."""
    narrow = np.asarray(values).astype(ml_dtypes.bfloat16)
    if emulate:
        return numpy_helper.from_array(narrow.astype(np.float32), name)
    kind = TensorProto.BFLOAT16
    return TensorProto(name=name, data_type=kind, dims=narrow.shape, raw_data=narrow.tobytes())


def _e4m3(values: NDArray[np.float32], name: str) -> onnx.TensorProto:
    """Return values as E4M3; those out of range saturate."""
    small = values.clip(-LARGEST, LARGEST).astype(ml_dtypes.float8_e4m3fn)
    kind = TensorProto.FLOAT8E4M3FN
    return TensorProto(name=name, data_type=kind, dims=small.shape, raw_data=small.tobytes())


def _float32(tensor: onnx.TensorProto) -> NDArray[np.float32]:
    """Return a float32 or bfloat16 tensor's values as float32."""
    if tensor.data_type == TensorProto.BFLOAT16:
        bits = np.frombuffer(tensor.raw_data, ml_dtypes.bfloat16).reshape(tuple(tensor.dims))
        return bits.astype(np.float32)
    return np.asarray(numpy_helper.to_array(tensor), np.float32)
