"""Data-parallel training of one adapter, with each process on its share of every batch.

`accelerate launch` starts the processes. An adapter is small, so its gradients are averaged in one
call after the backward pass: no module has to be wrapped, and one process runs the same code.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from realmaster_live.optional import require


class Processes:
    """The processes of this run; accelerate is imported only if there are several."""

    def __init__(self) -> None:
        """Join the process group that the launcher set up in the environment."""
        self._state: Any = None
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            accelerate = require("accelerate", extra="multi-gpu")
            on_cpu = torch.get_default_device().type == "cpu"
            self._state = accelerate.PartialState(cpu=on_cpu)

    @property
    def share(self) -> tuple[int, int]:
        """Return this process's index and the number of processes."""
        return (0, 1) if self._state is None else (
            self._state.process_index, self._state.num_processes
        )  # fmt: skip

    @property
    def first(self) -> bool:
        """Return whether this is the first process, which writes the files."""
        return self.share[0] == 0

    def mean(self, tensor: Tensor) -> Tensor:
        """Return the mean of all processes' tensors."""
        if self._state is None:
            return tensor
        reduced: Tensor = require("accelerate.utils", extra="multi-gpu").reduce(tensor, "mean")
        return reduced

    def average(self, parameters: Sequence[nn.Parameter]) -> None:
        """Average the gradients over all processes."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self._state is None or not gradients:
            return
        flat = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return flag if self._state is None else bool(self.mean(torch.tensor(float(flag))) > 0)

    def wait(self) -> None:
        """Wait until all processes reach this point."""
        if self._state is not None:
            self._state.wait_for_everyone()

    def close(self) -> None:
        """Leave the process group; may be called twice."""
        if self._state is not None:
            self._state.destroy_process_group()
            self._state = None
