"""The predicted cost of a training run, as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from realmaster_live.model.cost import GPUS
from realmaster_live.training.estimate.meter import Meter
from realmaster_live.training.loop import StageState
from realmaster_live.training.pairs.cost import duration_text

MFU = 0.45  # assumed model FLOPs utilization: share of the rate that large products reach
GPU = "h100"
GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One kind of batch: how often a step takes it, its operations, and bytes of activations."""

    name: str
    count: int
    flop: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The predicted cost of a run.

    Attributes:
        title: a description of the run.
        steady: item -> bytes that are held for the whole run.
        batches: the kinds of batches that make up a step.
        steps: number of optimizer steps.
    """

    title: str
    steady: Mapping[str, int]
    batches: Sequence[Batch]
    steps: int

    @property
    def bytes(self) -> int:
        """Return the tensors' peak bytes, without CUDA's context and the allocator's gaps."""
        return sum(self.steady.values()) + max(batch.bytes for batch in self.batches)

    @property
    def step_flop(self) -> int:
        """Return the operations of an optimizer step."""
        return sum(batch.count * batch.flop for batch in self.batches)

    @property
    def seconds(self) -> float:
        """Return the time of all steps on one GPU."""
        return self.steps * self.step_flop / (MFU * GPUS[GPU][0] * 1e12)

    def lines(self) -> list[str]:
        """Return the report."""
        held = ", ".join(f"{name} {size / GIB:.1f}" for name, size in self.steady.items())
        most = max(self.batches, key=lambda batch: batch.bytes)
        return [
            self.title,
            f"memory: {self.bytes / GIB:.1f} GiB, of which {held}, activations of "
            f"{most.name} {most.bytes / GIB:.1f}; CUDA's context and the allocator's gaps add "
            "about 2",
            *(
                f"a batch of {batch.name}: {batch.flop / 1e15:.3g} PFLOP, {batch.count} a step, "
                f"{batch.bytes / GIB:.1f} GiB of activations"
                for batch in self.batches
            ),
            self.line(),
        ]

    def line(self) -> str:
        """Return the cost in one line."""
        time, rate = duration_text(self.seconds), GPUS[GPU][0]
        return (
            f"{self.steps} steps of {self.step_flop / 1e15:.3g} PFLOP: about {time} on one "
            f"{GPU.upper()} at {MFU:.0%} of {rate:.0f} TFLOP/s; {self.bytes / GIB:.1f} GiB"
        )

    def warning(self) -> str:
        """Return advice if torch's GPU has too little memory, else an empty text."""
        there = torch.cuda.get_device_properties(torch.get_default_device()).total_memory
        if self.bytes <= there:
            return ""
        return (
            f"expected {self.bytes / GIB:.0f} GiB of GPU memory, got {there / GIB:.0f}: set "
            'recompute or checkpointing, weights = "int8", or fewer chunks in the recipe'
        )


def allot(states: Sequence[StageState], meter: Meter) -> dict[str, int]:
    """Allocate gradients and optimizer moments; return the bytes that are held for the whole run.

    The states must have been made under the meter, so that it has counted their averaged weights.
    """
    for state in states:
        for parameter in state.parameters.values():
            parameter.grad = torch.empty_like(parameter)
            small = torch.uint8 if state.options.bits == 8 else parameter.dtype
            state.optimizer.state[parameter] = {
                name: torch.empty_like(parameter, dtype=small) for name in ("first", "second")
            }
    held = meter.bytes
    meter.restart()
    return {"gradients, averages and moments": held}


def batch_of(name: str, count: int, meter: Meter, steady: Mapping[str, int]) -> Batch:
    """Return the cost since the meter's restart as a batch that a step takes `count` times."""
    return Batch(name=name, count=count, flop=meter.flop, bytes=meter.peak - sum(steady.values()))
