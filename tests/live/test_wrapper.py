import pytest

from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.errors import ConfigError
from realmaster_live.fidelity.lock import SafetyLock
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.live.wrapper import EngineWrapper, innermost, realized_together, retrying
from realmaster_live.protocols import Engine, PromptedEngine, RigEngine
from realmaster_live.replay.recorded_prompts import RecordedPrompts

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


@pytest.mark.parametrize("wrap", [SafetyLock, RecordedPrompts])
def test_wrappers_of_an_engine_for_several_cameras_are_one(chunk_at, wrap):
    chunks = chunk_at(0), chunk_at(1)
    rig = wrap(IdentityEngine(SPEC, cameras=2))
    assert isinstance(rig, RigEngine) and rig.cameras == 2
    for one, chunk in zip(rig.realize_together(chunks), chunks, strict=True):
        assert one.frame_ids is chunk.frame_ids
        assert one.rendered is chunk.rendered
    with pytest.raises(ConfigError, match="for 2 cameras, got Calls for one: load it with cameras"):
        wrap(Calls()).realize_together(chunks)


def test_prompts_that_were_recorded_are_set_for_all_cameras(chunk_at):
    asked = []

    class Rig(IdentityEngine):
        def set_prompt(self, prompt, fade_chunks=0):
            asked.append((prompt, fade_chunks))

    chunks = chunk_at(0), chunk_at(0)
    first = int(chunks[0].frame_ids[0])
    rig = RecordedPrompts(Rig(SPEC, cameras=2), {first: ("rain", 3)})
    rig.realize_together(chunks)
    rig.realize_together((chunk_at(1), chunk_at(1)))
    assert asked == [("rain", 3)]


def test_a_wrapper_that_does_not_know_of_several_cameras_hides_them(chunk_at):
    plain = EngineWrapper(IdentityEngine(SPEC, cameras=2))
    assert not isinstance(plain, RigEngine)
    with pytest.raises(ConfigError, match="for 2 cameras, got IdentityEngine for one"):
        realized_together(plain, (chunk_at(0), chunk_at(1)))
