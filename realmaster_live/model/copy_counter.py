"""Counts the bytes that torch copies: the cost of data movement, besides arithmetic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

COPIES = ("cat", "stack", "clone", "copy_", "_to_copy")  # operators that only copy values


class CopyCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context manager that counts the bytes that copying operators write.

    It counts in torch's dispatcher, operator by operator, so it is exact on every device. Copies
    inside a kernel are not counted. Use it under `torch.no_grad`, since `inference_mode` hides
    operators.

    Attributes:
        written: operator -> bytes.
        across: number of bytes copied between devices.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.written: Counter[str] = Counter()
        self.across = 0

    @property
    def bytes(self) -> int:
        """Return the total of bytes written."""
        return self.written.total()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operator, and count its result if it is a copy."""
        run: Callable[..., Any] = func
        result = run(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name in COPIES and isinstance(result, torch.Tensor):
            size = result.numel() * result.element_size()
            self.written[name] += size
            source = args[1] if name == "copy_" else args[0]
            if isinstance(source, torch.Tensor) and source.device != result.device:
                self.across += size
        return result
