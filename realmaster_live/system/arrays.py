"""Arrays in .npy files from anywhere: what a header claims is checked before it is believed."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import RealMasterError
from realmaster_live.system.contents import ENOUGH, OTHER, classify_content
from realmaster_live.system.inside import open_regular


def read_array(path: Path, *, error: type[RealMasterError], remedy: str) -> NDArray[Any]:
    """Return the array of a .npy file.

    Args:
        path: of a regular file.
        error: raised, in one sentence, where it holds no array, or less than its header claims.
        remedy: what to do then.
    """
    with open_regular(path, error=error) as file:
        try:
            return _read(file)
        except Exception as problem:  # NumPy parses a header as Python, which may fail in any way
            file.seek(0)
            got, cure = classify_content(file.read(ENOUGH))
            if got == OTHER:
                got, cure = " ".join(str(problem).split())[:200] or type(problem).__name__, remedy
            raise error(f"expected an array in {path}, got {got}: {cure}") from problem


def _read(file: Any) -> NDArray[Any]:
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ValueError(f"version {version} of the format")
    shape, by_columns, dtype = readers[version](file)
    if dtype.kind not in "biufc":
        raise ValueError(f"values of type {dtype}")
    left = os.fstat(file.fileno()).st_size - file.tell()
    if any(side < 0 for side in shape) or prod(shape) * dtype.itemsize > left:
        raise ValueError(f"{left} bytes for {'x'.join(map(str, shape))} values of {dtype}")
    values = np.frombuffer(file.read(prod(shape) * dtype.itemsize), dtype)
    return values.reshape(shape, order="F" if by_columns else "C")
