"""Measures one call of a transformer's block on fake tensors, and reuses it for all other calls.

The blocks of a network are equal, so memory and operations of forward and backward are measured
once for each kind of call. Every later call allocates its results and adds the measured figures. A
pass over thirty blocks then costs a few operations instead of tens of thousands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from realmaster_live.training.estimate.meter import Meter

Kind = tuple[tuple[int, ...], torch.dtype, bool]  # shape, dtype, whether it requires gradients


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The memory and the operations of one call of a block; inputs and results are not counted.

    Attributes:
        results: the kind of each result.
        saves: for each input, whether it is saved for the backward pass.
        gradients: for each input, the bytes of the storage that holds its gradient.
        forward: peak bytes during the call. kept: bytes saved for the backward pass.
        backward: peak bytes during the backward pass, without `kept` and the parameters' gradients.
        flop: operations of the call.
        backward_flop: operations of the backward pass, including what it recomputes.
    """

    results: tuple[Kind, ...]
    saves: tuple[bool, ...] = ()
    gradients: tuple[int, ...] = ()
    forward: int
    kept: int = 0
    backward: int = 0
    flop: int
    backward_flop: int = 0


class Replay(torch.autograd.Function):
    """A block's call that only accounts for the figures measured in another call."""

    @staticmethod
    def forward(ctx: Any, meter: Meter, measured: Measured, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Allocate the results and what is saved for the backward pass."""
        meter.expect(measured.forward)
        meter.flop += measured.flop
        ctx.meter, ctx.measured, ctx.kinds = meter, measured, [kind_of(each) for each in inputs]
        kept = torch.empty(measured.kept, dtype=torch.uint8)
        ctx.save_for_backward(
            kept, *(x for x, save in zip(inputs, measured.saves, strict=False) if save)
        )
        return tuple(torch.empty(shape, dtype=dtype) for shape, dtype, _ in measured.results)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        """Allocate the inputs' gradients."""
        held = ctx.saved_tensors
        ctx.meter.expect(ctx.measured.backward)
        ctx.meter.flop += ctx.measured.backward_flop
        del held
        sizes = (*ctx.measured.gradients, *[0] * len(ctx.kinds))
        gradients_to_return = zip(ctx.kinds, ctx.needs_input_grad[2:], sizes, strict=False)
        found = [_within(size, shape, dtype) if need else None
                 for (shape, dtype, _), need, size in gradients_to_return]  # fmt: skip
        return None, None, *found


def _within(size: int, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """Return a tensor on a storage of `size` bytes, or of its own size if that is larger."""
    count = math.prod(shape)
    whole = torch.empty(max(count, size // dtype.itemsize), dtype=dtype)
    return whole[:count].view(shape)


def replay(transformer: nn.Module, meter: Meter, measurements: dict[Hashable, Measured]) -> None:
    """Replace the calls of a transformer's blocks by replays, in place.

    `measurements` caches what was measured; the networks of a run share it.
    """
    blocks: list[nn.Module] = list(transformer.blocks)  # type: ignore[arg-type]
    for block in blocks:
        setattr(block, "forward", _replayed(block, block.forward, meter, measurements))  # noqa: B010


def _replayed(
    block: nn.Module, call: Callable[..., Any], meter: Meter, measurements: dict[Hashable, Measured]
) -> Callable[..., Any]:
    parameters, buffers = list(block.parameters()), list(block.buffers())
    kinds = tuple(kind_of(each) for each in parameters)

    def forward(*arguments: Any) -> Any:
        flat, spec = tree_flatten(arguments)
        inputs = [each for each in flat if isinstance(each, Tensor)]
        gradients_enabled = torch.is_grad_enabled()
        trained = [each for each in parameters if gradients_enabled and each.requires_grad]
        needs_backward = bool(trained) or (
            gradients_enabled and any(each.requires_grad for each in inputs)
        )
        key = (needs_backward, torch.is_autocast_enabled("cpu"), spec, kinds, *map(kind_of, inputs))
        if key not in measurements:
            measurements[key] = _measured(
                call,
                flat,
                spec,
                meter,
                (*parameters, *buffers),
                trained if needs_backward else None,
            )
        gradient_anchor = [torch.empty(0, requires_grad=True)] if trained else []
        x, keys, values = Replay.apply(meter, measurements[key], *inputs, *gradient_anchor)  # type: ignore[no-untyped-call]
        return x, (keys, values)

    return forward


def kind_of(tensor: Tensor) -> Kind:
    """Return what decides the cost of an input."""
    return tuple(tensor.shape), tensor.dtype, tensor.requires_grad


def _measured(
    call: Callable[..., Any],
    flat: list[Any],
    spec: Any,
    outer: Meter,
    weights: Sequence[Tensor],
    trained: Sequence[Tensor] | None,
) -> Measured:
    """Measure a call on copies of its inputs; with `trained` parameters, its backward pass too."""
    before = outer.peak, outer.flop
    copies = [
        torch.empty_like(each, requires_grad=each.requires_grad) if isinstance(each, Tensor)
        else each
        for each in flat
    ]  # fmt: skip
    inputs = [each for each in copies if isinstance(each, Tensor)]
    gradients = {parameter: parameter.grad for parameter in trained or ()}
    for parameter in gradients:
        parameter.grad = torch.empty_like(parameter)
    tensors_before = [*weights, *inputs, *(p.grad for p in gradients if p.grad is not None)]
    saved: set[int] = set()
    sizes = [0] * len(inputs)
    for index, each in enumerate(inputs):
        if each.requires_grad:
            each.register_hook(partial(_note, sizes, index))  # type: ignore[no-untyped-call]

    def pack(tensor: Tensor) -> Tensor:
        saved.add(tensor.untyped_storage()._cdata)
        return tensor

    meter = Meter(tensors_before)
    with meter, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        x, (keys, values) = call(*tree_unflatten(copies, spec))
        results = [x, keys, values]
        held = sum(_bytes(each) for each in results)
        measured = Measured(
            results=tuple(kind_of(each) for each in results),
            saves=tuple(each.untyped_storage()._cdata in saved for each in inputs),
            forward=max(0, meter.peak - held),
            kept=max(0, meter.bytes - held),
            flop=meter.flop,
        )
        if trained is not None:
            given = [torch.empty_like(each) for each in results]
            meter.restart()
            base = meter.bytes - measured.kept
            torch.autograd.backward(results, given)
            measured = replace(
                measured,
                gradients=tuple(sizes),
                backward=meter.peak - base,
                backward_flop=meter.flop,
            )
    for parameter, gradient in gradients.items():
        parameter.grad = gradient
    del x, keys, values, results, inputs, copies, tensors_before
    outer.peak, outer.flop = before
    return measured


def _note(sizes: list[int], index: int, gradient: Tensor) -> None:
    sizes[index] = max(sizes[index], _bytes(gradient))


def _bytes(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()
