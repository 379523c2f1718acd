"""What engines around engines have in common: finding what the innermost one can do."""

from __future__ import annotations

from realmaster_live.errors import ConfigError
from realmaster_live.protocols import Engine, PromptedEngine, RetryingEngine


def innermost(engine: Engine) -> Engine:
    """Return the engine inside all that wrap it in an attribute `engine`."""
    while (inner := getattr(engine, "engine", None)) is not None:
        engine = inner
    return engine


def retrying(engine: Engine) -> RetryingEngine | None:
    """Return the engine if it, and the one inside it, can realize a chunk again; else None."""
    able = isinstance(engine, RetryingEngine) and isinstance(innermost(engine), RetryingEngine)
    return engine if able and isinstance(engine, RetryingEngine) else None


def set_prompt(engine: Engine, prompt: str, fade_chunks: int) -> None:
    """Ask an engine for a prompt; ConfigError for one that takes none."""
    if not isinstance(engine, PromptedEngine):
        raise ConfigError(
            f"expected an engine that takes prompts, got {type(innermost(engine)).__name__}: "
            f"leave the prompt {prompt!r} out"
        )
    engine.set_prompt(prompt, fade_chunks)
