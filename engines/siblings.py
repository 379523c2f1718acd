"""Several cameras through engines that share their weights, where no graph takes them as one batch.

The exported graphs of ONNX Runtime and TensorRT's plans are for one camera. On the CPU siblings run
at the same time, which keeps the cores busier than one chunk after the other does.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from realmaster_live.engines.sizes import check_cameras, check_together
from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.protocols import SeededEngine, SharingEngine


class OneCamera(SharingEngine, SeededEngine, Protocol):
    """An engine for one camera, of a model."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What the model is."""

    @property
    def prompts(self) -> Mapping[str, Any]:
        """Its prompts by name."""


class SiblingRig:
    """Realizes the chunks of several cameras, each by its own sibling of one engine.

    Attributes:
        engines: the siblings, one for each camera; the first is the engine that was given.
        at_once: how many of them run at the same time.
    """

    def __init__(self, engine: OneCamera, cameras: int, *, at_once: int = 1) -> None:
        """Take over an engine and make its siblings; at most `at_once` run at the same time."""
        check_cameras(cameras)
        self.engines = (engine, *(engine.sibling() for _ in range(cameras - 1)))
        self.at_once = max(1, min(at_once, cameras))
        self._pool = ThreadPoolExecutor(self.at_once, "rm-camera") if self.at_once > 1 else None

    def __repr__(self) -> str:
        """Return text that says how the cameras are realized."""
        how = f"{self.at_once} at a time" if self.at_once > 1 else "one after the other"
        return f"{self.cameras} cameras, {how}, through {self.engines[0]!r}"

    @property
    def spec(self) -> ChunkSpec:
        """The chunks of each camera."""
        return self.engines[0].spec

    @property
    def cameras(self) -> int:
        """How many cameras there are."""
        return len(self.engines)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.engines[0].name

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What the model is."""
        return self.engines[0].manifest

    @property
    def prompts(self) -> Mapping[str, Any]:
        """The model's prompts by name."""
        return self.engines[0].prompts

    @property
    def seed(self) -> int:
        """The seed of the noise, which is the same for all cameras."""
        return self.engines[0].seed

    def set_seed(self, seed: int) -> None:
        """Draw the noise of all cameras from another seed, from the next chunks on."""
        for engine in self.engines:
            engine.set_seed(seed)

    def realize_together(self, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """Return the realized chunks of all cameras, in their order."""
        check_together(chunks, self.cameras)
        run = map if self._pool is None else self._pool.map
        return tuple(run(_realize, self.engines, chunks))

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the realized chunk of the only camera; EngineError if there are several."""
        return self.realize_together((chunk,))[0]

    def set_prompt(self, prompt: str, fade_chunks: int = 0) -> None:
        """Set the prompt of all cameras."""
        for engine in self.engines:
            engine.set_prompt(prompt, fade_chunks)

    def reset(self) -> None:
        """Forget all earlier chunks of all cameras."""
        for engine in self.engines:
            engine.reset()

    def sibling(self) -> OneCamera:
        """Return an engine for one more camera, which is realized apart from these."""
        return self.engines[0].sibling()

    def close(self) -> None:
        """Close all siblings; may be called twice."""
        if self._pool is not None:
            self._pool.shutdown()
        for engine in self.engines:
            engine.close()

    def __enter__(self) -> SiblingRig:
        """Return self."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()


def _realize(engine: OneCamera, chunk: Chunk) -> Chunk:
    return engine.realize(chunk)
