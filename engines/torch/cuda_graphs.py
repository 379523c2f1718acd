"""CUDA graphs: recorded once for every form of a stage, then replayed without Python."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch


class Graphs:
    """Recorded pieces of work by key; what is not recorded runs as it is.

    All graphs share one memory pool: they replay one after another, and leave results only in
    buffers that were there before. Use it from one thread.
    """

    def __init__(self) -> None:
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        self._pool: Any = None

    def __len__(self) -> int:
        """Return the number of recorded pieces."""
        return len(self._graphs)

    def __contains__(self, key: Hashable) -> bool:
        """Return whether a piece of work is recorded."""
        return key in self._graphs

    def record(self, key: Hashable, work: Callable[[], None]) -> None:
        """Record work that has run before, so that nothing is built or chosen meanwhile."""
        graph = torch.cuda.CUDAGraph()
        # Other threads may use CUDA meanwhile: only this one's mistakes are to end the recording.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            work()
        self._pool = graph.pool() if self._pool is None else self._pool
        self._graphs[key] = graph

    def run(self, key: Hashable, work: Callable[[], None]) -> None:
        """Replay a recorded piece of work, or do it."""
        graph = self._graphs.get(key)
        if graph is None:
            work()
        else:
            graph.replay()

    def clear(self) -> None:
        """Forget all, and their memory."""
        self._graphs, self._pool = {}, None
