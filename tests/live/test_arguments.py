"""A mix-up in what `run` is given is one sentence, before anything starts."""

import numpy as np
import pytest

import realmaster_live as rm
from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.errors import ConfigError

ENGINE = IdentityEngine(rm.ChunkSpec(frames=4, height=8, width=16, fps=20))


class Source:
    started = False

    def frames(self):
        self.started = True
        yield from ()

    def close(self):
        pass


class Sink:
    def write(self, chunk):
        pass

    def close(self):
        pass


@pytest.mark.parametrize(
    ("source", "engine", "sinks", "message"),
    [
        ("front", ENGINE, [], "a source, got 'front', which has no frames and no close"),
        (None, ENGINE, [], "a source, got None"),
        (Source, ENGINE, [], "a source, got the class Source itself: make one"),
        (Source(), "embedded", [], r"an engine, got 'embedded', .*load_engine\('embedded'\)"),
        (Source(), None, [], "an engine, got None"),
        (Source(), {"front": "identity"}, [], r"load_engine\('identity'\)"),
        (Source(), {}, [], "an engine for each camera, got none"),
        (Source(), IdentityEngine, [], "an engine, got the class IdentityEngine itself"),
        (Source(), np.zeros(3), [], "an engine, got a ndarray"),
        (Source(), ENGINE, Sink(), "a list of sinks, got a Sink"),
        (Source(), ENGINE, None, "a list of sinks, got None"),
        (Source(), ENGINE, "video:a.mp4", "a list of sinks, got 'video:a.mp4'"),
        (Source(), ENGINE, ["rerun:"], r"a sink, got 'rerun:', .*open_sink\('rerun:'\)"),
        (Source(), ENGINE, [Sink(), rm.LiveView], "a sink, got the class LiveView itself"),
        (Source(), ENGINE, [Sink(), 3], "a sink, got 3, which has no write and no close"),
    ],
)
def test_what_is_no_source_engine_or_sink_is_named(source, engine, sinks, message):
    with pytest.raises(ConfigError, match=message):
        rm.run(source, engine, sinks)
    assert not getattr(source, "started", False)


@pytest.mark.parametrize("seconds", [-1, 0, -0.5, float("nan"), "3", True])
def test_a_time_that_no_run_can_last_is_refused(seconds):
    source = Source()
    with pytest.raises(ConfigError, match="expected seconds above 0, got"):
        rm.run(source, ENGINE, [Sink()], seconds=seconds)
    assert not source.started


@pytest.mark.parametrize("max_frames", [0, -4, float("nan"), "8"])
def test_a_number_of_frames_that_no_run_can_have_is_refused(max_frames):
    with pytest.raises(ConfigError, match="expected max_frames of 1 or more, got"):
        rm.run(Source(), ENGINE, [Sink()], max_frames=max_frames)


@pytest.mark.parametrize("url", [None, 5, b"rerun:", ["rerun:"], Sink()])
def test_open_sink_takes_texts_only(url):
    with pytest.raises(ConfigError, match="expected a URL such as ros2:"):
        rm.open_sink(url)


@pytest.mark.parametrize("camera", [None, "front", 17, Sink(), rm.LiveView])
def test_realize_takes_cameras_only(camera):
    for engine in ("identity", ENGINE):
        with pytest.raises(ConfigError, match=r"a spawned sensor\.camera\.rgb, got"):
            rm.realize(camera, engine=engine)
