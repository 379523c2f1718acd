"""Maps torch's parameter names to the same weights' names in exported graphs, for refitting.

An exporter renames weights and may transpose them, share equal ones or fold them into constants;
only their values identify them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from realmaster_live.errors import BuildError

Names = dict[str, dict[str, dict[str, Any]]]  # graph -> parameter -> {"weight", "transposed"}
NARROW_SUFFIX = ".bfloat16"


def weight_names(
    parameters: Mapping[str, NDArray[np.float32]], graphs: Mapping[str, onnx.ModelProto]
) -> Names:
    """Return the name of each parameter's weight in each float32 graph.

    A parameter that a graph does not contain unchanged, because it was folded into others, is left
    out. Values are compared as float16, as an export stores them.
    """
    found: Names = {}
    wanted: dict[Any, list[tuple[str, bool]]] = {}
    for name, values in parameters.items():
        wanted.setdefault(_digest(values), []).append((name, False))
        if values.ndim == 2:
            wanted.setdefault(_digest(values.T), []).append((name, True))
    for graph, model in graphs.items():
        places: dict[str, dict[str, Any]] = {}
        for tensor in model.graph.initializer:
            if tensor.data_type != onnx.TensorProto.FLOAT:
                continue
            for name, transposed in wanted.get(_digest(numpy_helper.to_array(tensor)), ()):
                places.setdefault(name, {"weight": tensor.name, "transposed": transposed})
        found[graph] = dict(sorted(places.items()))
    return found


def follow_narrowed(places: Mapping[str, dict[str, Any]], model: onnx.ModelProto) -> None:
    """Replace a graph's weight names by those of their bfloat16 versions, in place."""
    names = {tensor.name for tensor in model.graph.initializer}
    for place in places.values():
        if place["weight"] + NARROW_SUFFIX in names:
            place["weight"] += NARROW_SUFFIX


def refit_weights(
    names: Names, parameters: Mapping[str, NDArray[np.float32]]
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Return graph -> weight name -> new values, for the parameters that change.

    Args:
        names: the result of `weight_names`.
        parameters: new values by torch's names.

    Raises:
        BuildError: `denoise`, which uses all, does not hold a parameter by itself, or shares its
            weight with a parameter that stays or becomes something else.
    """
    changed: dict[str, dict[str, NDArray[np.float32]]] = {}
    for name, values in parameters.items():
        if name not in names["denoise"]:
            raise BuildError(
                f"expected parameter {name} in the graph denoise, got none that is it alone: "
                "build with --lora instead of refitting"
            )
        for graph, places in names.items():
            if name not in places:
                continue
            place = places[name]
            for other, entry in places.items():
                same = other in parameters and np.array_equal(parameters[other], values)
                if entry["weight"] == place["weight"] and not (other == name or same):
                    raise BuildError(
                        f"expected {name} and {other}, which share a weight of {graph}, to stay "
                        "equal, got other values: build with --lora instead of refitting"
                    )
            new = values.T if place["transposed"] else values
            changed.setdefault(graph, {})[place["weight"]] = np.ascontiguousarray(new)
    return changed


def _digest(values: NDArray[np.float32]) -> tuple[tuple[int, ...], str]:
    """Return a key made from the shape and the values, rounded to float16."""
    halves = np.ascontiguousarray(values).astype("<f2")
    return values.shape, hashlib.sha256(halves.tobytes()).hexdigest()


def round_to_bfloat16(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the bits of the nearest bfloat16, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16).astype("<u2")
