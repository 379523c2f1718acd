"""`record --passive --seconds` in a world with another step: seconds are the simulation's own."""

import pytest

from realmaster_live.cli import main
from realmaster_live.recording import Recording

pytestmark = pytest.mark.carla


@pytest.mark.parametrize("step_s", [0.02, 0.1])
def test_seconds_are_those_of_the_world_that_others_tick(owner, tmp_path, step_s):
    where = ["--host", owner.host, "--port", str(owner.port), "--timeout", "20"]
    picture = ["--engine", "identity", "--size", "64x48", "--labels", "none"]
    with owner.synchronous(step_s), owner.ticking():
        command = ["record", str(tmp_path / "drive"), *where, *picture]
        assert main([*command, "--passive", "--seconds", "1.2"]) == 0
    recording = Recording(tmp_path / "drive")
    assert recording.meta.spec.fps == pytest.approx(1.0 / step_s)
    rows = recording.table("frames")
    times, lost = rows["timestamp"].to_pylist(), rows["dropped_before"].to_pylist()
    assert times[-1] - times[0] == pytest.approx(step_s * (len(times) - 1 + sum(lost[1:])))
    chunk = recording.meta.spec.frames  # what is left at the end fills no chunk
    assert 1.2 - (chunk + 1 + sum(lost)) * step_s <= times[-1] - times[0] <= 1.2 + chunk * step_s
