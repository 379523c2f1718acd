"""The rate of a film is found behind rounded, jittering and irregular timestamps."""

from fractions import Fraction

import av
import numpy as np
import pytest

from realmaster_live.replay.footage import Reading
from realmaster_live.replay.kinds import find_footage, open_footage
from realmaster_live.replay.video_files import describe
from realmaster_live.replay.video_rate import constant_rate, sampled, typical_rate

NTSC = {
    name: Fraction(1000 * n, 1001) for name, n in (("23.976", 24), ("29.97", 30), ("59.94", 60))
}
RATES = [*NTSC.values(), *map(Fraction, (10, 15, 24, 25, 30, 50, 60, 120))]


def film_of(path, rate, count, *, first=0):
    """Write `count` small frames at a rate, the first one as if it had that number."""
    codec = "libvpx-vp9" if path.suffix == ".webm" else "libx264"
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        if codec == "libvpx-vp9":
            stream.options = {"deadline": "realtime", "cpu-used": "8"}
        for index in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), index % 200, np.uint8))
            frame.pts, frame.time_base = first + index, 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_whole_milliseconds_hide_no_rate(rate):
    exact = np.arange(2000) / float(rate)
    for times in (np.round(exact, 3), np.floor(exact * 1000) / 1000, np.ceil(exact * 1000) / 1000):
        found = constant_rate(times, 0.001)
        assert found == pytest.approx(float(rate), rel=1e-9)
        np.testing.assert_array_equal(sampled(times, found), np.arange(2000))


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_a_short_film_has_the_rate_that_its_container_declares(rate):
    times = np.round(np.arange(5) / float(rate), 3)
    assert constant_rate(times, 0.001, [float(rate)]) == pytest.approx(float(rate))


def test_a_rate_that_is_no_standard_one_is_not_rounded_to_one():
    for rate in (29.0, 17.3, 61.0):
        assert constant_rate(np.arange(400) / rate, 1 / 90_000) == pytest.approx(rate, abs=1e-3)


def test_jitter_leaves_a_rate_constant():
    rng = np.random.default_rng(4)
    times = np.sort(np.arange(600) / 30 + rng.uniform(-0.004, 0.004, 600))
    assert constant_rate(times, 1 / 90_000, [29.97]) == 30


def test_a_variable_rate_stays_variable():
    steps = np.tile([0.033, 0.033, 0.034], 100)
    steps[150] = 0.5  # a pause
    times = np.concatenate(([0], np.cumsum(steps)))
    assert constant_rate(times, 0.001, [29.4]) is None
    assert typical_rate(times, 0.001, [29.4]) == 30
    irregular = np.cumsum(np.random.default_rng(5).uniform(0.01, 0.08, 200))
    assert constant_rate(irregular, 1e-6) is None


def test_equal_times_are_no_rate():
    assert constant_rate(np.zeros(5), 0.001, [30.0]) is None
    assert typical_rate(np.zeros(5), 0.001, [30.0]) == 30
    assert constant_rate(np.zeros(1), 0.001) is None


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".mp4", ".mov", ".avi"])
@pytest.mark.parametrize(
    "rate", [*NTSC.values(), Fraction(24), Fraction(30), Fraction(60)], ids=str
)
def test_every_frame_of_a_film_is_taken_once(rate, suffix, tmp_path):
    path = film_of(tmp_path / f"film{suffix}", rate, 160)
    (film,) = find_footage(str(path), Reading())
    assert film.fps == pytest.approx(float(rate), rel=1e-9)
    assert film.frames == 160
    np.testing.assert_array_equal(sampled(describe(path).times, film.fps), np.arange(160))


def test_another_rate_resamples_a_film_of_milliseconds(tmp_path):
    path = film_of(tmp_path / "film.mkv", 30, 60)
    reading = Reading(fps=10)
    (film,) = find_footage(str(path), reading)
    levels = [int(f.image[0, 0, 0]) for f in open_footage(film, reading).frames()]
    assert levels == pytest.approx(list(range(0, 60, 3)), abs=2)


@pytest.mark.parametrize("suffix", ["mkv", "mp4", "mov"])
def test_a_film_that_begins_late_lacks_nothing(suffix, tmp_path, caplog):
    path = film_of(tmp_path / f"late.{suffix}", 30, 60, first=3000)
    (film,) = find_footage(str(path), Reading())
    assert (film.fps, film.frames, describe(path).missing) == (30, 60, 0)
    assert not caplog.records


@pytest.mark.parametrize("first", [0, 300])
def test_a_film_that_is_cut_short_says_so(first, tmp_path, caplog):
    path = film_of(tmp_path / "whole.mkv", 30, 600, first=first)
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (film,) = find_footage(str(cut), Reading())
    assert 0 < film.frames < 590
    assert f"got {film.frames}: it is damaged or cut short" in caplog.text


def test_steps_rounded_to_milliseconds_have_their_mean():
    exact = np.cumsum([1 / 15] * 20 + [1 / 30] * 15)
    assert typical_rate(np.round(exact, 3), 0.001) == 15
