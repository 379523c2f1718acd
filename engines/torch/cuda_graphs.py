"""CUDA graphs, which are captured once for every variant of a stage and replayed without Python."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import Any

import torch

from realmaster_live.engines.torch.stages import Stages


class Graphs:
    """Captured work by key; work that was not captured is called directly.

    All graphs share one memory pool, because they are replayed one after another and leave results
    only in buffers that were allocated before. Use it from one thread.
    """

    def __init__(self) -> None:
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        self._pool: Any = None

    def __len__(self) -> int:
        """Return the number of captured graphs."""
        return len(self._graphs)

    def __contains__(self, key: Hashable) -> bool:
        """Return whether a graph was captured for this key."""
        return key in self._graphs

    def record(self, key: Hashable, work: Callable[[], None]) -> None:
        """Capture work; it must have run before, so that nothing is compiled or tuned now."""
        graph = torch.cuda.CUDAGraph()
        # Other threads may use CUDA during capture; only this thread's errors end it.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            work()
        self._pool = graph.pool() if self._pool is None else self._pool
        self._graphs[key] = graph

    def run(self, key: Hashable, work: Callable[[], None]) -> None:
        """Replay the graph of this key, or call `work` if there is none."""
        graph = self._graphs.get(key)
        if graph is None:
            work()
        else:
            graph.replay()

    def clear(self) -> None:
        """Release all graphs and their memory."""
        self._graphs, self._pool = {}, None


def record_stages(graphs: Graphs, stages: Stages, states: int) -> None:
    """Capture every stage for each of `states` chunks after a reset, without running anything."""
    buffers = stages.buffers
    for _ in range(states):
        past_tokens, slots = buffers.past_tokens, buffers.slots
        work: dict[Hashable, Callable[[], None]] = {
            ("encode",): stages.encode,
            ("context",): stages.context,
            ("denoise", past_tokens): partial(stages.denoise, past_tokens),
            ("decode",): stages.decode,
            ("commit", past_tokens): partial(stages.commit, past_tokens),
            ("settle", slots): partial(stages.settle, slots),
        }
        buffers.step()
        for key, piece in work.items():
            if key not in graphs:
                graphs.record(key, piece)
