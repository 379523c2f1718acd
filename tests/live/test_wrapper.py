import pytest

from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.live.wrapper import EngineWrapper, innermost, retrying
from realmaster_live.protocols import Engine, PromptedEngine

SPEC = ChunkSpec(frames=4, width=64, height=32, fps=20.0)


class Calls:
    """An engine that takes no prompts and notes what it is asked."""

    spec = SPEC

    def __init__(self):
        self.calls = []

    def realize(self, chunk):
        self.calls.append("realize")
        return chunk

    def reset(self):
        self.calls.append("reset")

    def close(self):
        self.calls.append("close")


def test_everything_is_passed_on(chunk_at):
    inner = Calls()
    engine = EngineWrapper(EngineWrapper(inner))
    assert isinstance(engine, Engine) and innermost(engine) is inner
    assert (engine.spec, engine.manifest) == (SPEC, {})
    chunk = chunk_at(0)
    assert engine.realize(chunk) is chunk
    engine.reset()
    engine.close()
    assert inner.calls == ["realize", "reset", "close"]


def test_a_prompt_goes_to_an_engine_that_takes_one():
    engine = EngineWrapper(IdentityEngine(SPEC))
    assert isinstance(engine, PromptedEngine)
    engine.set_prompt("as simulated")
    with pytest.raises(ConfigError, match="takes prompts, got Calls: leave the prompt 'rain' out"):
        EngineWrapper(EngineWrapper(Calls())).set_prompt("rain")


def test_a_wrapper_that_cannot_retry_hides_one_that_can():
    class Retrying(Calls):
        def realize_again(self, chunk, seed):
            return chunk

    inner = Retrying()
    assert retrying(inner) is inner
    assert retrying(EngineWrapper(inner)) is None
