"""The weights of exported graphs: read where they are stored, hashed, and written into one file.

An export stores its weights as float16 behind casts; graphs are rewritten with them in float32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from realmaster_live.engines.manifest import WEIGHTS_FILE
from realmaster_live.engines.program.weight_file import HALF_SUFFIX, WeightFile

STORED_DTYPE = "stored"  # external-data key: a weight's type in the file, if it differs
MIN_EXTERNAL_BYTES = 1024  # smaller tensors stay inside their graph


def read_graph(path: Path) -> onnx.ModelProto:
    """Return an exported graph with weights in float32 under their original names.

    Weights stay in the export's file; their tensors refer to it, and `values_of` reads them. So a
    graph is small and its shapes can be inferred, however large its weights are.
    """
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = str(path.parent.absolute() / entry.value)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        half = stored.get(node.input[0]) if node.op_type == "Cast" else None
        if half is None or half.name != node.output[0] + HALF_SUFFIX:
            kept.append(node)
            continue
        half.name, half.data_type = node.output[0], TensorProto.FLOAT
        half.external_data.add(key=STORED_DTYPE, value="float16")
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def values_of(tensor: onnx.TensorProto) -> NDArray[Any]:
    """Return a tensor's values in its own type (bfloat16 as bits), wherever they are stored."""
    if tensor.data_location != TensorProto.EXTERNAL:
        return numpy_helper.to_array(tensor)
    facts = {entry.key: entry.value for entry in tensor.external_data}
    kind = np.dtype(facts.get(STORED_DTYPE) or helper.tensor_dtype_to_np_dtype(tensor.data_type))
    place = int(facts.get("offset", 0))
    shape = tuple(tensor.dims)
    values = np.memmap(facts["location"], kind, mode="r", offset=place, shape=shape)
    if tensor.data_type == TensorProto.BFLOAT16 and kind != np.uint16:
        return round_to_bfloat16(values)
    return np.asarray(values).astype(helper.tensor_dtype_to_np_dtype(tensor.data_type), copy=False)


def round_to_bfloat16(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the bits of the nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype("<u2")


def drop_unused_weights(model: onnx.ModelProto) -> None:
    """Remove the weights that no node and no output takes, in place."""
    used = {name for node in model.graph.node for name in node.input}
    used |= {value.name for value in model.graph.output}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def content_hash(model: onnx.ModelProto) -> str:
    """Return a hash of a graph and its weights, regardless of where the weights are stored."""
    content = hashlib.sha256()
    for tensor in model.graph.initializer:
        content.update(f"{tensor.name} {tensor.data_type} {list(tensor.dims)}".encode())
        content.update(hashlib.sha256(_raw(tensor)).digest())
    for part in (model.graph.node, model.graph.input, model.graph.output, model.opset_import):
        for each in part:
            content.update(each.SerializeToString(deterministic=True))
    return content.hexdigest()


def write_graphs(models: Mapping[str, onnx.ModelProto], folder: Path) -> None:
    """Write graphs with one shared file of their large weights, each distinct tensor once."""
    folder.mkdir(parents=True, exist_ok=True)
    with WeightFile(folder / WEIGHTS_FILE) as weights:
        for name, model in models.items():
            for tensor in model.graph.initializer:
                raw = _raw(tensor)
                if len(raw) >= MIN_EXTERNAL_BYTES:
                    moved = weights.moved(tensor.name, tensor.data_type, tensor.dims, raw)
                    tensor.CopyFrom(moved)
            (folder / f"{name}.onnx").write_bytes(model.SerializeToString())


def _raw(tensor: onnx.TensorProto) -> bytes:
    """Return a tensor's bytes, wherever they are stored."""
    return tensor.raw_data or np.ascontiguousarray(values_of(tensor)).tobytes()
