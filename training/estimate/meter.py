"""Counts the bytes that tensors hold and the operations of matrix products, real or fake."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_backward_flop, sdpa_flop


def _attention_flop(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return int(sdpa_flop(query, key, value))


def _attention_backward_flop(
    grad: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any
) -> int:
    return int(sdpa_backward_flop(grad, query, key, value))


ATTENTION: dict[Any, Any] = {  # torch counts these on GPUs only
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flop,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward_flop,
}


class Meter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A context manager that counts the memory and the operations of the code within it.

    Args:
        before: tensors that exist already. They must outlive the meter, and views of them are not
            counted.

    Attributes:
        bytes: bytes held now by all storages that operations have returned.
        peak: the most bytes held at once since the last `restart`.
        flop: floating point operations of products and convolutions, two for each multiply-add.
    """

    def __init__(self, before: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = self.peak = 0
        self.flop = 0
        self._held = {each.untyped_storage()._cdata: 0 for each in before}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func._overloadpacket
        if packet in ATTENTION:
            self.flop += ATTENTION[packet](*args, **kwargs)
        elif packet in flop_registry:
            self.flop += int(flop_registry[packet](*args, **kwargs, out_val=out))
        for each in out if isinstance(out, tuple | list) else (out,):
            if isinstance(each, Tensor):
                self._hold(each)
        return out

    def expect(self, extra: int) -> None:
        """Account for `extra` bytes that are held only temporarily."""
        self.peak = max(self.peak, self.bytes + extra)

    def restart(self) -> None:
        """Forget the peak and the operations so far."""
        self.peak, self.flop = self.bytes, 0

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._held:
            return
        self._held[key] = storage.nbytes()
        self.bytes += storage.nbytes()
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._free, key)

    def _free(self, key: int) -> None:
        self.bytes -= self._held.pop(key)
