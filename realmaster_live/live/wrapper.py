"""Engines around engines: one that passes everything on, and what the innermost one can do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.protocols import Engine, PromptedEngine, RetryingEngine, RigEngine


class EngineWrapper:
    """An engine that passes everything on to the one inside it; a subclass changes some of it.

    Attributes:
        engine: the one inside, which is closed with this one.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def spec(self) -> ChunkSpec:
        """The chunks that the engine takes."""
        return self.engine.spec

    @property
    def manifest(self) -> Mapping[str, Any]:
        """What the engine's model is; empty where the engine has no manifest."""
        return getattr(self.engine, "manifest", {})

    @property
    def cameras(self) -> int:
        """How many cameras the engine realizes together."""
        return getattr(self.engine, "cameras", 1)

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the realized chunk."""
        return self.engine.realize(chunk)

    def set_prompt(self, prompt: str, fade_chunks: int = 0) -> None:
        """Set the engine's prompt from the next chunk on; ConfigError for one that takes none."""
        if not isinstance(self.engine, PromptedEngine):
            raise ConfigError(
                f"expected an engine that takes prompts, got {type(innermost(self)).__name__}: "
                f"leave the prompt {prompt!r} out"
            )
        self.engine.set_prompt(prompt, fade_chunks)

    def reset(self) -> None:
        """Forget all earlier chunks."""
        self.engine.reset()

    def close(self) -> None:
        """Close the engine; may be called twice."""
        self.engine.close()


def realized_together(engine: Engine, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
    """Return the chunks of several cameras realized; ConfigError for an engine of one camera."""
    if not isinstance(engine, RigEngine):
        raise ConfigError(
            f"expected an engine for {len(chunks)} cameras, got {type(innermost(engine)).__name__} "
            f"for one: load it with cameras={len(chunks)}"
        )
    return engine.realize_together(chunks)


def innermost(engine: Engine | RigEngine) -> Any:
    """Return the engine inside all that wrap it in an attribute `engine`."""
    while (inner := getattr(engine, "engine", None)) is not None:
        engine = inner
    return engine


def retrying(engine: Engine) -> RetryingEngine | None:
    """Return the engine if it, and the one inside it, can realize a chunk again; else None."""
    able = isinstance(engine, RetryingEngine) and isinstance(innermost(engine), RetryingEngine)
    return engine if able and isinstance(engine, RetryingEngine) else None


def realized_again(engine: Engine, chunk: Chunk, seed: int) -> Chunk:
    """Return a chunk realized from another seed; ConfigError for an engine that cannot do it."""
    able = retrying(engine)
    if able is None:
        raise ConfigError(
            "expected an engine that can realize a chunk again, got "
            f"{type(innermost(engine)).__name__}: leave 'retry' out"
        )
    return able.realize_again(chunk, seed)
