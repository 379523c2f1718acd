"""Files in Arrow's own memory, for readers that give work to Arrow's threads."""

from __future__ import annotations

import os
from typing import Any, BinaryIO


def in_arrow_memory(file: BinaryIO) -> Any:
    """Return the rest of an open regular file as a pyarrow BufferReader without Python objects.

    Given a Python file, one of Arrow's threads may be the last to release it. Where Python ends
    meanwhile, that aborts the process, after all its work is done (apache/arrow#34314).
    """
    import pyarrow as pa  # which only callers need that have it

    buffer = pa.allocate_buffer(os.fstat(file.fileno()).st_size - file.tell(), None, True)
    with memoryview(buffer) as memory:
        read = file.readinto(memory)  # type: ignore[attr-defined]
    buffer.resize(read)  # less where the file was cut meanwhile
    return pa.BufferReader(buffer)
