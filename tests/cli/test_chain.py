"""The whole chain: minitown in its own process, the real carla client, our command line."""

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from settled import settle
from waiting import until

from realmaster_live.cli import main
from realmaster_live.demo.demo import Demo
from realmaster_live.recording import Recording

LONGEST_S = 400  # a cold start compiles the rasteriser, and the machine may be busy
pytestmark = pytest.mark.timeout(2 * LONGEST_S)
ATTACH = ("--engine", "identity", "--size", "128x64", "--timeout", "30")


def realmaster(*arguments, **options):
    command = [
        sys.executable,
        "-c",
        "import sys; from realmaster_live.cli import main; sys.exit(main())",
    ]
    return subprocess.Popen([*command, *map(str, arguments)], text=True, **options)


def ended(process):
    """Return what the process wrote, once it has ended; end it if it does not."""
    try:
        return process.communicate(timeout=LONGEST_S)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.communicate(timeout=30)
        raise


@pytest.fixture
def town_with_a_car(minitown, carla_client):
    """A hero in town 7; gives the port and a look at what is left of the world."""
    world = carla_client.get_world()
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    blueprint.set_attribute("role_name", "hero")
    car = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[0])
    car.set_simulate_physics(False)
    world.wait_for_tick(30.0)
    yield minitown.port, world


def sensors(world):
    settle(world)
    return list(world.get_actors().filter("sensor.*"))


def has_frames(folder):
    """Whether a recording that goes on has frames on the disk."""
    return any(path.stat().st_size > 20_000 for path in folder.rglob("frames.arrows"))


def test_attach_records_and_replay_plays_it_again(town_with_a_car, tmp_path, capsys):
    port, world = town_with_a_car
    first, second = tmp_path / "first", tmp_path / "second"
    flags = ["--port", str(port), *ATTACH, "--seconds", "1"]
    assert main(["record", str(first), *flags, "--video", str(tmp_path / "film.mp4")]) == 0
    out = capsys.readouterr().out
    assert "20 frames captured, 20 realized, 0 lost by the source, 0 dropped" in out
    assert "end to end" in out
    assert not sensors(world)
    assert not world.get_settings().synchronous_mode
    recording = Recording(first)
    assert recording.meta.complete
    assert recording.meta.about.engine == "identity"
    assert recording.meta.about.source.map.endswith("MiniTown07")
    assert (tmp_path / "film.mp4").stat().st_size > 1000

    assert main(["replay", str(first), "--engine", "identity", "--out", str(second)]) == 0
    before, after = list(recording.frames()), list(Recording(second).frames())
    assert [frame.frame_id for frame in after] == [frame.frame_id for frame in before]
    for name in ("depth", "semantic", "instance"):
        np.testing.assert_array_equal(after[9].labels[name], before[9].labels[name])
    np.testing.assert_array_equal(after[9].cam_to_world, before[9].cam_to_world)
    assert abs(after[9].image.astype(int) - before[9].image).mean() < 4
    assert Recording(second).meta.about.source.details["replayed_from"] == "first"


def test_replay_at_another_size(town_with_a_car, tmp_path):
    port, _ = town_with_a_car
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(["record", str(first), "--port", str(port), *ATTACH, "--seconds", "0.4"]) == 0
    flags = ["--engine", "identity", "--size", "64x32", "--out", str(second)]
    assert main(["replay", str(first), *flags]) == 0
    before, after = next(Recording(first).frames()), next(Recording(second).frames())
    assert after.image.shape == (32, 64, 3)
    np.testing.assert_allclose(after.intrinsics[:2] * 2, before.intrinsics[:2])


def test_passive_leaves_the_clock_alone_and_counts_losses(town_with_a_car, tmp_path):
    port, world = town_with_a_car
    before = world.get_settings()
    flags = ["--port", str(port), *ATTACH, "--passive", "--seconds", "1", "--labels", "none"]
    assert main(["record", str(tmp_path / "drive"), *flags]) == 0
    after = world.get_settings()
    assert (after.synchronous_mode, after.fixed_delta_seconds) == (
        before.synchronous_mode,
        before.fixed_delta_seconds,
    )
    recording = Recording(tmp_path / "drive")
    assert recording.meta.about.policy == "drop_oldest"
    rows = recording.table("frames")
    numbers = rows["frame_id"].to_pylist()
    missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    assert sum(rows["dropped_before"].to_pylist()[1:]) >= missing


def test_an_ego_that_is_not_there_is_status_1(minitown, capsys):
    flags = ["--port", str(minitown.port), *ATTACH, "--ego", "nobody", "--timeout", "5"]
    assert main(["attach", *flags]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("realmaster: error: ")
    assert "nobody" in error


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_restore_the_world_and_keep_the_recording(
    town_with_a_car, tmp_path, number, status
):
    port, world = town_with_a_car
    folder = tmp_path / "drive"
    process = realmaster("record", folder, "--port", port, *ATTACH, stdout=subprocess.PIPE)
    until(lambda: has_frames(folder), seconds=LONGEST_S)
    process.send_signal(number)
    out, _ = ended(process)
    assert process.returncode == status
    assert "frames captured" in out
    assert not sensors(world)
    assert not world.get_settings().synchronous_mode
    recording = Recording(folder)
    assert recording.meta.complete
    assert len(list(recording.frames())) == len(recording) > 0


def test_a_server_that_dies_ends_the_run_and_the_recording_plays(running, tmp_path):
    from realmaster_live.demo.local_town import pick_ego

    folder = tmp_path / "drive"
    with running("--vehicles", "3", "--walkers", "0", "--no-raster") as town:
        flags = ["--port", town.port, "--ego", pick_ego(town.port), *ATTACH]
        process = realmaster(
            "record", folder, *flags, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        until(lambda: has_frames(folder), seconds=LONGEST_S)
        town.process.kill()
        began = time.monotonic()
        _, error = ended(process)
    assert time.monotonic() - began < LONGEST_S / 2
    assert process.returncode == 1
    assert error.splitlines()[-1].startswith("realmaster: error: expected ")
    recording = Recording(folder)
    assert recording.meta.complete
    assert len(list(recording.frames())) == len(recording) > 0


@pytest.fixture(scope="module")
def demo_out(tmp_path_factory):
    """What a short demo prints, and the folder that it leaves."""
    out = tmp_path_factory.mktemp("demo")
    flags = ["--seconds", "1.2", "--size", "128x64", "--engine", "identity"]
    process = realmaster("demo", "--out", out, *flags, stdout=subprocess.PIPE)
    text, _ = ended(process)
    assert process.returncode == 0
    return text, out


def test_the_demo_leaves_everything_behind(demo_out):
    text, out = demo_out
    assert "24 frames captured, 24 realized" in text
    recording = Recording(out / "recording")
    assert recording.meta.about.seed == Demo().seed
    assert len(list(recording.pairs())) == 24
    states = (out / "recording" / "scene.jsonl").read_text().splitlines()
    logged = {json.loads(line)["frame"] for line in states}
    assert logged >= set(recording.table("frames")["frame_id"].to_pylist())
    sheet = cv2.imread(str(out / "contact-sheet.png"))
    assert sheet.shape[0] > 5 * 64
    assert sheet.shape[1] > 5 * 128
    film = cv2.VideoCapture(str(out / "side-by-side.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == 24
    film.release()
    assert "data:image/jpeg" in (out / "report.html").read_text()


@pytest.mark.slow
def test_recorded_frames_can_be_path_traced(demo_out, tmp_path, capsys):
    pytest.importorskip("mitsuba")
    _, out = demo_out
    flags = ["--every", "20", "--spp", "2", "--out", str(tmp_path)]
    assert main(["minitown", "truth", str(out / "recording"), *flags]) == 0
    frames = {frame.frame_id: frame for frame in Recording(out / "recording").frames()}
    traced = sorted(tmp_path.glob("*.png"))
    assert capsys.readouterr().out == "".join(f"wrote {path}\n" for path in traced)
    assert [int(path.stem) for path in traced] == list(frames)[::20]
    sky = frames[int(traced[0].stem)].labels["semantic"] == 11
    picture = cv2.imread(str(traced[0])).astype(int)
    assert picture.shape == (64, 128, 3)
    assert picture[sky].mean() > picture[~sky].mean() + 10  # the same view: its sky is the bright


def test_only_a_recorded_scene_can_be_traced(town_with_a_car, tmp_path, capsys):
    port, _ = town_with_a_car
    folder = tmp_path / "drive"
    assert main(["record", str(folder), "--port", str(port), *ATTACH, "--seconds", "0.2"]) == 0
    assert main(["minitown", "truth", str(folder)]) == 1
    assert "scene.jsonl" in capsys.readouterr().err
    assert main(["truth", str(folder), "--every", "0"]) == 2


@pytest.mark.slow
def test_bench_prints_and_keeps_its_figures(tmp_path, capsys):
    out = tmp_path / "bench.json"
    flags = ["--sizes", "64x32", "--seconds", "0.8", "--engine", "identity", "--out", str(out)]
    assert main(["bench", *flags]) == 0
    text = capsys.readouterr().out
    (result,) = json.loads(out.read_text())
    assert list(result["chains"]) == ["live", "before"]
    for drawing, chain in result["chains"].items():
        assert f"64x32 identity, pictures drawn {drawing}: 16 frames captured, 16 realized" in text
        stats = chain["stats"]
        assert chain["fps"] == pytest.approx(stats["realized"] / stats["wall_s"])
        assert chain["town_ms"] > 0 and chain["own_ms"] > 0
    assert "live, on the same cores" in text and "before, as by other hardware" in text
    assert result["parts_ms"].keys() == {"capture", "recording"}
    assert min(result["parts_ms"].values()) > 0
    assert result["ratio"] is None


@pytest.mark.slow
def test_bench_measures_every_size_with_and_without_the_cache(tiny_model, tmp_path):
    out = tmp_path / "bench.json"
    flags = ["--sizes", "64x32,128x64", "--seconds", "0.8", "--engine", tiny_model, "--out", out]
    process = realmaster("bench", "--drawing", "before", *flags, stdout=subprocess.PIPE)
    text, _ = ended(process)
    assert process.returncode == 0
    assert text.count("16 frames captured, 16 realized") == 2
    assert text.count("with its reference recomputed") == 2
    results = json.loads(out.read_text())
    assert [result["width"] for result in results] == [64, 128]
    for result in results:
        assert list(result["chains"]) == ["before"]
        assert result["chains"]["before"]["stats"]["latency_ms"]["engine"]["count"] == 16 / 4
        assert result["parts_ms"]["engine"] > 0
        assert result["ratio"] == pytest.approx(result["recomputed_ms"] / result["engine_ms"])
        assert 0 < result["engine_ms"] < 1e4
        assert result["host"]["cores"] == os.cpu_count()


def test_the_town_says_why_it_does_not_start(minitown):
    from realmaster_live.demo.local_town import local_town
    from realmaster_live.errors import ConnectError

    taken = local_town(seed=7, vehicles=0, walkers=0, port=minitown.port)
    with pytest.raises(ConnectError, match="realmaster minitown"), taken:
        pass
