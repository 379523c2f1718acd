"""Changes that other threads ask for reach the engines between chunks, on the loop's thread."""

import threading
import time
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import pytest

from realmaster_live import ChunkSpec, Frame, load_engine
from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.errors import EngineError
from realmaster_live.live.controls import EngineControls
from realmaster_live.live.pipeline import run
from realmaster_live.live.wrapper import EngineWrapper
from realmaster_live.prompts import Fade, check_prompt, with_prompt

SPEC = ChunkSpec(frames=4, height=8, width=16, fps=20)


class Tinting:
    """A user's own engine: it adds its prompt's colour, and can be made stronger."""

    name = "tinting"
    prompts = ("red", "blue")
    fixed_strength = ""

    def __init__(self):
        self.spec = SPEC
        self.strength, self.seed = 1.0, 0
        self.fade = Fade("red")
        self.changed_on = set()

    def realize(self, chunk):
        self.fade.step()
        return replace(with_prompt(chunk.with_frames(chunk.frames), self.fade), seed=self.seed)

    def set_prompt(self, prompt, fade_chunks=0):
        check_prompt(prompt, self.prompts)
        self.changed_on.add(threading.current_thread().name)
        self.fade.start(prompt, fade_chunks)

    def set_strength(self, strength):
        self.strength = strength

    def set_seed(self, seed):
        self.seed = seed

    def reset(self):
        pass

    def close(self):
        pass


class Still:
    """Gives one dark frame after another, of some cameras."""

    def __init__(self, count, cameras=("front",)):
        self.count, self.cameras = count, cameras

    def frames(self):
        for number in range(self.count):
            for camera in self.cameras:
                yield Frame(
                    camera=camera, frame_id=number, timestamp=number / 20,
                    captured_at=time.monotonic(), image=np.zeros((8, 16, 3), np.uint8),
                    intrinsics=np.eye(3), cam_to_world=np.eye(4),
                )  # fmt: skip

    def close(self):
        pass


class Asking:
    """A sink that asks for changes when it gets its first chunk, as a page would."""

    def __init__(self, ask):
        self.ask, self.chunks, self.answers = ask, [], []
        self.is_open = True

    def begin(self, run_info):
        self.controls = run_info.controls

    def write(self, chunk):
        if not self.chunks:
            self.answers = self.ask(self.controls)
        self.chunks.append(chunk)

    def close(self):
        pass


def test_a_sink_changes_the_look_while_the_run_goes_on():
    engine = Tinting()
    sink = Asking(lambda controls: [controls.set_prompt("blue", 2), controls.set_seed(7),
                                    controls.set_strength(0.5)])  # fmt: skip
    run(Still(60), EngineWrapper(engine), [sink])
    assert [answer.result(0) for answer in sink.answers] == [True, True, True]
    shown = [(chunk.prompt, round(chunk.prompt_weight, 2)) for chunk in sink.chunks]
    first = shown.index(("blue", 0.33))
    assert first > 0 and set(shown[:first]) == {("red", 1.0)}
    assert shown[first + 1 : first + 3] == [("blue", 0.67), ("blue", 1.0)]
    assert sink.chunks[-1].seed == 7 and engine.strength == 0.5
    assert engine.changed_on == {threading.current_thread().name}
    assert (sink.controls.offer.seed, sink.controls.offer.strength) == (7, 0.5)
    assert sink.controls.offer.prompts == ("red", "blue") and not sink.controls.offer.lacks


def test_every_camera_is_changed_at_once():
    engines = {"front": Tinting(), "left": Tinting()}
    sink = Asking(lambda controls: [controls.set_prompt("blue")])
    run(Still(40, ("front", "left")), engines, [sink])
    by_camera = {name: [] for name in engines}
    for chunk in sink.chunks:
        by_camera[chunk.camera].append(chunk.prompt)
    assert by_camera["front"] == by_camera["left"] and "blue" in by_camera["front"]


def test_the_newest_request_takes_the_place_of_one_that_waits():
    engine = Tinting()
    controls = EngineControls([engine])
    first, second = controls.set_strength(0.1), controls.set_strength(0.2)
    other = controls.set_seed(3)
    assert first.result(0) is False and not second.done()
    controls.apply()
    assert second.result(0) is True and other.result(0) is True
    assert (engine.strength, engine.seed) == (0.2, 3)


def test_a_refused_request_says_why_and_ends_no_run():
    sink = Asking(lambda controls: [controls.set_prompt("green")])
    stats = run(Still(40), Tinting(), [sink])
    with pytest.raises(EngineError, match="got 'green'"):
        sink.answers[0].result(0)
    assert stats.realized == 40


def test_after_the_run_every_request_is_answered():
    sink = Asking(lambda controls: [])
    run(Still(8), Tinting(), [sink])
    assert sink.controls.set_prompt("blue").result(0) is False
    waiting = EngineControls([Tinting()])
    future = waiting.set_seed(1)
    waiting.close()
    assert future.result(0) is False


def test_a_request_that_was_cancelled_is_left_out():
    engine = Tinting()
    controls = EngineControls([engine])
    controls.set_seed(9).cancel()
    controls.apply()
    assert engine.seed == 0


def test_an_engine_that_lacks_a_control_says_so():
    controls = EngineControls([IdentityEngine(SPEC)])
    assert set(controls.offer.lacks) == {"prompt", "strength", "seed"}
    for future in (controls.set_prompt("rain"), controls.set_strength(1), controls.set_seed(1)):
        assert isinstance(future, Future)
        with pytest.raises(EngineError, match="the engine identity"):
            future.result(0)
    assert controls.offer.prompts == () and controls.offer.strength is None


def test_the_shipped_model_takes_prompts_and_seeds():
    with load_engine("embedded", width=64, height=32) as engine:
        controls = EngineControls([engine])
        assert "rain" in controls.offer.prompts and controls.offer.seed == 0
        assert set(controls.offer.lacks) == {"strength"}
        answer = controls.set_seed(5)
        controls.apply()
        assert answer.result(0) and engine.seed == controls.offer.seed == 5
