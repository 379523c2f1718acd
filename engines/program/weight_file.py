"""Writes the weights of all graphs into one file, each distinct tensor once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from realmaster_live.engines.manifest import WEIGHTS_FILE

SMALL = 1024  # initializers with fewer values stay float32 inside the graph
HALF_SUFFIX = ".float16"  # suffix of the names that an export gives to stored weights
ALIGNMENT = 4096  # alignment in bytes of each tensor in the file, for memory mapping


class WeightFile:
    """A new file with the weights of all graphs, each distinct tensor once.

    It is a context manager and keeps offsets and hashes in memory, but no weights.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self.places: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> WeightFile:
        """Return self."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close the file."""
        self._file.close()

    def place(self, raw: bytes) -> tuple[int, int]:
        """Return the offset and length of these bytes in the file; append them if they are new."""
        key = hashlib.sha256(raw).hexdigest()
        if key not in self.places:
            self._file.write(bytes(-self._file.tell() % ALIGNMENT))
            self.places[key] = (self._file.tell(), len(raw))
            self._file.write(raw)
        return self.places[key]

    def move_weights(self, model: onnx.ModelProto) -> None:
        """Move a graph's large initializers into this file; float32 becomes float16 and a Cast.

        Those of int8 are stored as they are, and those of float16 are in the file already; others
        stay in the graph.
        """
        graph = model.graph
        kept, casts = [], []
        while graph.initializer:  # it is emptied on the way, so no weight is in memory twice
            tensor = graph.initializer.pop(0)
            is_moved = tensor.data_location == TensorProto.EXTERNAL
            size = np.prod(tensor.dims)
            if size >= SMALL and tensor.data_type == TensorProto.INT8:
                raw = numpy_helper.to_array(tensor).tobytes()
                kept.append(self.moved(tensor.name, tensor.data_type, tensor.dims, raw))
            elif is_moved or (size >= SMALL and tensor.data_type == TensorProto.FLOAT):
                if not is_moved:
                    half = numpy_helper.to_array(tensor).astype("<f2").tobytes()
                    tensor = self.moved(tensor.name, TensorProto.FLOAT16, tensor.dims, half)
                name = f"{tensor.name}{HALF_SUFFIX}"
                casts.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
                tensor.name = name
                kept.append(tensor)
            else:
                kept.append(tensor)
        nodes = [*casts, *graph.node]
        del graph.node[:]
        graph.initializer.extend(kept)
        graph.node.extend(nodes)

    def moved(self, name: str, kind: int, dims: Sequence[int], raw: bytes) -> TensorProto:
        """Return an initializer of an ONNX type, whose bytes are in this file (external data)."""
        offset, length = self.place(raw)
        tensor = TensorProto(
            name=name, data_type=kind, dims=dims, data_location=TensorProto.EXTERNAL
        )
        places = {"location": WEIGHTS_FILE, "offset": str(offset), "length": str(length)}
        for key, value in places.items():
            tensor.external_data.add(key=key, value=value)
        return tensor
