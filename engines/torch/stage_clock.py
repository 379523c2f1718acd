"""Times an engine's stages by the host's clock, or by CUDA events without waiting for them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch


class StageClock:
    """Seconds of every stage since the last reset."""

    def __init__(self, stages: Sequence[str], *, cuda: bool) -> None:
        self._stages, self._cuda = stages, cuda
        self._pending: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
        self.seconds: dict[str, list[float]] = {}
        self.reset()

    def reset(self) -> None:
        """Forget all times."""
        self.collect()
        self.seconds = {stage: [] for stage in self._stages}

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Record the duration of a `with` block; on CUDA, once its events have completed."""
        if not self._cuda:
            begin = time.perf_counter()
            yield
            self.seconds[stage].append(time.perf_counter() - begin)
            return
        event: Any = torch.cuda.Event  # its constructor is untyped
        start, end = event(enable_timing=True), event(enable_timing=True)
        start.record()
        yield
        end.record()
        self._pending.append((stage, start, end))

    def collect(self) -> None:
        """Wait for CUDA's pending work and record the stages' durations."""
        for stage, start, end in self._pending:
            end.synchronize()
            self.seconds[stage].append(start.elapsed_time(end) / 1e3)
        self._pending = []
