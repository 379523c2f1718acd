"""Hashes and copies the tensors of safetensors files without loading them.

A hash over tensors depends only on their names, types, shapes and bytes. So a model has the same
hash in one file, in shards and in our checkpoints.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realmaster_live.errors import BuildError
from realmaster_live.optional import require
from realmaster_live.system.atomic_files import replacing
from realmaster_live.system.contents import classify_file
from realmaster_live.system.inside import check_regular, check_utf8

if TYPE_CHECKING:
    from torch import Tensor, nn

BLOCK = 4 << 20  # bytes that are read at once
LENGTH = struct.Struct("<Q")  # the header's length, which precedes it
ALIGNMENT = 8  # alignment of the first tensor in bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """A tensor in a file.

    Attributes:
        path: the file. dtype: safetensors' name of the type.
        begin: offset of its first byte in the file. size: number of its bytes.
    """

    path: Path
    dtype: str
    shape: tuple[int, ...]
    begin: int
    size: int

    def blocks(self) -> Iterator[bytes]:
        """Yield the tensor's bytes in blocks."""
        with self.path.open("rb") as file:
            file.seek(self.begin)
            left = self.size
            while left:
                block = file.read(min(BLOCK, left))
                if not block:
                    raise BuildError(
                        f"expected {self.size} bytes of a tensor in {self.path}, got {left} too "
                        "few: copy the file again"
                    )
                left -= len(block)
                yield block


def stored_tensors(
    path: Path, *, remedy: str = "download the file again"
) -> dict[str, StoredTensor]:
    """Return the tensors of a safetensors file by name.

    Raises:
        BuildError: the file does not exist, is truncated, or is not a safetensors file.
    """
    check_regular(path, error=BuildError)
    check_utf8(path, error=BuildError)
    safetensors = require("safetensors", extra="training")
    try:
        with safetensors.safe_open(path, framework="numpy"):  # checks every offset
            pass
        with path.open("rb") as file:
            (length,) = LENGTH.unpack(file.read(LENGTH.size))
            header: dict[str, dict[str, Any]] = json.loads(file.read(length))
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        got, advice = classify_file(path, str(error), remedy)
        raise BuildError(f"expected a safetensors file at {path}, got {got}: {advice}") from error
    data = LENGTH.size + length
    return {
        name: StoredTensor(
            path=path,
            dtype=entry["dtype"],
            shape=tuple(entry["shape"]),
            begin=data + entry["data_offsets"][0],
            size=entry["data_offsets"][1] - entry["data_offsets"][0],
        )
        for name, entry in header.items()
        if name != "__metadata__"
    }


def read_shards(files: Collection[Path]) -> dict[str, StoredTensor]:
    """Return the tensors of several files of one model."""
    tensors: dict[str, StoredTensor] = {}
    for path in files:
        tensors |= stored_tensors(path)
    return tensors


def check_tensors(
    network: nn.Module,
    tensors: Mapping[str, Tensor | StoredTensor],
    *,
    source: str,
    remedy: str = "download the model again",
) -> None:
    """Raise BuildError unless tensors are those of a network, by name and shape."""
    expected = network.state_dict()
    problems = [f"{name} missing" for name in sorted(expected.keys() - tensors.keys())]
    problems += [f"{name} unknown" for name in sorted(tensors.keys() - expected.keys())]
    problems += [
        f"{name} {tuple(expected[name].shape)} != {tuple(tensors[name].shape)}"
        for name in sorted(expected.keys() & tensors.keys())
        if expected[name].shape != tensors[name].shape
    ]
    if problems:
        raise BuildError(
            f"expected the {len(expected)} tensors of {type(network).__name__} in {source}, got "
            f"{len(problems)} that differ ({'; '.join(problems[:3])}): {remedy}"
        )


def hash_tensors(tensors: Mapping[str, StoredTensor]) -> str:
    """Return the sha256 over the tensors of a model."""
    return _combined(tensors, {name: _digest(tensor) for name, tensor in tensors.items()})


def copy_tensors(tensors: Mapping[str, StoredTensor], path: Path) -> str:
    """Write tensors into one file, atomically and block by block; return the hash over them."""
    header, place = {}, 0
    for name, tensor in tensors.items():
        end = place + tensor.size
        header[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [place, end],
        }
        place = end
    text = json.dumps(header).encode()
    text += b" " * (-(LENGTH.size + len(text)) % ALIGNMENT)
    digests = {}
    with replacing(path) as part, part.open("wb") as out:
        out.write(LENGTH.pack(len(text)) + text)
        for name, tensor in tensors.items():
            digest = hashlib.sha256()
            for block in tensor.blocks():
                digest.update(block)
                out.write(block)
            digests[name] = digest.digest()
    return _combined(tensors, digests)


def _digest(tensor: StoredTensor) -> bytes:
    digest = hashlib.sha256()
    for block in tensor.blocks():
        digest.update(block)
    return digest.digest()


def _combined(tensors: Mapping[str, StoredTensor], digests: Mapping[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        whole.update(json.dumps([name, tensor.dtype, tensor.shape]).encode() + digests[name])
    return whole.hexdigest()
