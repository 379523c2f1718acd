"""Many inputs, real processes: made once, resumed after kills, given up one by one."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from footage import write_film, write_pictures, write_recording
from street import SIZE
from waiting import until

from realmaster_live.cli import main
from realmaster_live.jobs.leases import hold
from realmaster_live.recording import Recording

FLAGS = ("--engine", "embedded", "--lossless", "--quiet")
REALMASTER = [sys.executable, "-m", "realmaster_live", "replay"]


def real(folder) -> np.ndarray:
    with Recording(folder) as recording:
        return np.stack([sample.real for sample in recording.samples("front", streams=["real"])])


def inputs_of(folder, count, *, chunks=3) -> list[str]:
    folder.mkdir()
    for index in range(count):
        write_recording(folder / f"drive{index}", chunks=chunks, labels=("semantic",))
    return [str(folder)]


def test_a_recording_a_video_and_pictures_become_recordings(tmp_path, capsys):
    drive = write_recording(tmp_path / "drive", gaps={3: 5}, town="Town05", weather="rain")
    film = write_film(tmp_path / "film.mp4", frames=9)
    (tmp_path / "film.json").write_text('{"town": "Lyon", "licence": "CC0-1.0", "fov_deg": 90}')
    pictures = write_pictures(tmp_path / "pictures", [SIZE] * 8)
    (pictures / "about.json").write_text('{"fps": 10, "town": "Metz"}')
    out = tmp_path / "out"
    arguments = ["replay", *map(str, (drive, film, pictures)), "--out", str(out), *FLAGS]
    assert main(arguments) == 0
    assert "replay: 3 made, 0 reused, 0 in quarantine, 0 waiting" in capsys.readouterr().out
    made = {name: Recording(out / name) for name in ("drive", "film", "pictures")}
    assert {name: len(recording) for name, recording in made.items()} == {
        "drive": 24, "film": 8, "pictures": 8,
    }  # fmt: skip
    assert [made[name].meta.about.town for name in made] == ["Town05", "Lyon", "Metz"]
    assert made["film"].meta.about.licence == "CC0-1.0"
    assert made["pictures"].meta.spec.fps == 10
    film_frame = next(made["film"].frames())
    assert film_frame.intrinsics[0, 0] == pytest.approx(SIZE[0] / 2)
    before, after = list(Recording(drive).frames()), list(made["drive"].frames())
    for a, b in zip(before, after, strict=True):
        assert (a.frame_id, a.dropped_before, a.timestamp) == (
            b.frame_id, b.dropped_before, b.timestamp,
        )  # fmt: skip
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.labels["flow"], b.labels["flow"])
    assert main(arguments) == 0
    assert "replay: 0 made, 3 reused" in capsys.readouterr().out


def test_poses_and_labels_beside_pictures_are_taken(tmp_path):
    pictures = write_pictures(tmp_path / "pictures", [SIZE] * 4)
    poses = [(np.eye(4) + index * np.eye(4, k=3)).ravel().tolist() for index in range(4)]
    (pictures / "about.json").write_text(json.dumps({"fps": 10, "cam_to_world": poses}))
    (pictures / "depth").mkdir()
    depth = np.full((4, SIZE[1], SIZE[0]), 7.0, np.float32)
    for index in range(4):
        np.save(pictures / "depth" / f"frame{index}.npy", depth[index] + index)
    assert main(["replay", str(pictures), "--out", str(tmp_path / "out"), *FLAGS]) == 0
    frames = list(Recording(tmp_path / "out").frames())
    assert [frame.cam_to_world[0, 3] for frame in frames] == [0, 1, 2, 3]
    np.testing.assert_allclose(frames[2].labels["depth"], 9.0, atol=1e-4)


@pytest.mark.slow
def test_two_workers_make_the_same_bits_as_one_and_none_twice(tmp_path):
    inputs = inputs_of(tmp_path / "in", 4)
    for workers in ("1", "2"):
        out = tmp_path / workers
        assert main(["replay", *inputs, "--out", str(out), *FLAGS, "--workers", workers]) == 0
    for index in range(4):
        one, two = (real(tmp_path / workers / f"drive{index}") for workers in "12")
        np.testing.assert_array_equal(one, two)
    assert not list((tmp_path / "2").glob(".*.part"))


def test_pictures_are_held_to_the_labels_by_workers_as_alone(tmp_path):
    inputs = inputs_of(tmp_path / "in", 2)
    flags = [*FLAGS, "--fidelity", "score", "--thresholds", "edges=0.5", "--lock-classes", "car"]
    assert main(["replay", *inputs, "--out", str(tmp_path / "many"), *flags]) == 0
    alone = [f"{inputs[0]}/drive1", "--out", str(tmp_path / "alone")]
    assert main(["replay", *alone, *flags]) == 0
    with Recording(tmp_path / "alone") as one, Recording(tmp_path / "many" / "drive1") as two:
        assert len(one.table("trust")) >= 12
        assert str(one.table("trust").to_pylist()) == str(two.table("trust").to_pylist())
    np.testing.assert_array_equal(real(tmp_path / "alone"), real(tmp_path / "many" / "drive1"))


def killed_midway(arguments, out, at: int) -> None:
    """Run replay in a process group of its own, and kill all of it once `at` segments are begun."""
    with subprocess.Popen([*REALMASTER, *arguments], start_new_session=True) as process:
        try:
            deadline = time.monotonic() + 60
            while segments_below(out.parent) < at:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.002)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def segments_below(folder) -> int:
    """Count the segments; 0 where a folder is renamed while it is listed."""
    try:
        return len(list(folder.rglob("real.*")))
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize("count", [1, 3])
def test_a_killed_replay_continues_and_makes_the_same_bits(count, tmp_path, capsys):
    source = inputs_of(tmp_path / "in", count, chunks=12)
    (tmp_path / "a").mkdir()
    whole, out = tmp_path / "whole", tmp_path / "a" / "out"
    assert main(["replay", *source, "--out", str(whole), *FLAGS]) == 0
    again = [*source, "--out", str(out), *FLAGS]
    killed_midway(again, out, at=count if count == 1 else 2)
    left = [path for path in (tmp_path / "a").rglob("*.part")]
    assert left
    assert main(["replay", *again]) == 0
    for index in range(count):
        name = f"drive{index}" if count > 1 else ""
        np.testing.assert_array_equal(real(out / name), real(whole / name))
    assert not list((tmp_path / "a").rglob("*.part"))
    if count > 1:
        assert f"{count - 1} made, 1 reused, 0 in quarantine" in capsys.readouterr().out


def test_sigterm_leaves_nothing_behind_and_counts_no_attempt(tmp_path):
    source = inputs_of(tmp_path / "in", 2, chunks=12)
    (tmp_path / "a").mkdir()
    out = tmp_path / "a" / "out"
    process = subprocess.Popen([*REALMASTER, *source, "--out", str(out), *FLAGS])
    until(lambda: list(out.parent.rglob("real.*")))
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert not list(out.rglob("*.part"))
    assert not list((out / ".replay" / "leases").glob("*.json"))
    assert not (out / ".replay" / "tries").exists()


def test_a_damaged_input_is_given_up_with_its_traceback_and_its_neighbours_continue(
    tmp_path, capsys
):
    source = inputs_of(tmp_path / "in", 3)
    segment = next((tmp_path / "in" / "drive1").rglob("sim.mp4"))
    segment.write_bytes(segment.read_bytes()[:-900] + bytes(900))
    out = tmp_path / "out"
    arguments = ["replay", *source, "--out", str(out), *FLAGS]
    assert main(arguments) == 3
    output = capsys.readouterr()
    assert "replay: 2 made, 0 reused, 1 in quarantine" in output.out
    assert "drive1: " in output.err
    tries = json.loads((out / ".replay" / "tries" / "drive1.json").read_text())
    assert tries["attempts"] == 3
    assert tries["error"].startswith("Traceback")
    assert str(segment) in tries["error"]
    assert main(arguments) == 3
    assert "replay: 0 made, 2 reused, 1 in quarantine" in capsys.readouterr().out
    write_recording(tmp_path / "mended", chunks=3, labels=("semantic",))
    next((tmp_path / "mended").rglob("sim.mp4")).replace(segment)
    assert main([*arguments, "--retry"]) == 0
    assert "replay: 1 made, 2 reused" in capsys.readouterr().out


def test_what_is_there_already_is_told_apart(tmp_path, capsys):
    drive, out = write_recording(tmp_path / "drive", chunks=2), tmp_path / "out"
    again = ["replay", str(drive), "--out", str(out), "--engine", "identity", "--quiet"]
    assert main(again) == 0
    assert main([*again, "--seed", "4"]) == 2
    error = capsys.readouterr().err
    assert "to be made with seed 4, got one with 0: replace it with --overwrite" in error
    assert main([*again, "--seed", "4", "--overwrite"]) == 0
    assert Recording(out).meta.about.source.details["replay"]["seed"] == 4
    write_recording(tmp_path / "other", chunks=3)
    assert main(["replay", str(tmp_path / "other"), *again[2:], "--seed", "4"]) == 2
    assert "to be made with input 'other', got one with 'drive'" in capsys.readouterr().err


def test_folders_that_hold_something_else_are_left_alone(tmp_path, capsys):
    one, two = (write_recording(tmp_path / name, chunks=2) for name in ("one", "two"))
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").write_text("years of work")
    for inputs in ([one], [one, two]):
        for more in ([], ["--overwrite"]):
            flags = [*map(str, inputs), "--out", str(full), "--engine", "identity", *more]
            assert main(["replay", *flags]) == 2
            error = capsys.readouterr().err
            assert "something else" in error
            assert error.count("\n") == 1
    assert [path.name for path in full.iterdir()] == ["thesis.tex"]
    assert main(["replay", str(one), "--out", str(two), "--engine", "identity"]) == 2
    assert Recording(two).meta.complete


def test_bad_inputs_are_one_sentence(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    sound = tmp_path / "sound.mp4"
    import av

    with av.open(sound, "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    pictures = write_pictures(tmp_path / "pictures", [SIZE] * 4)
    damaged = write_pictures(tmp_path / "damaged", [SIZE] * 6)
    (damaged / "frame3.png").write_bytes(b"not a picture")
    (tmp_path / "notes.txt").write_text("hello")
    cases = {
        ("empty",): "expected a recording, recordings or pictures in",
        ("sound.mp4",): "expected a playable video in",
        ("pictures",): "expected the frames a second of the pictures in",
        ("damaged", "--fps", "20"): "frame3.png",
        ("notes.txt",): "got a file of another kind, notes.txt",
        ("none",): "got nothing there",
        ("pictures", "--fps", "20", "--engine", "nothing"): "expected 'embedded', 'identity'",
        ("pictures", "--fps", "20", "--prompt", "hail"): "got 'hail'",
        ("pictures", "--fps", "20", "--workers", "0"): "1 or more for --workers",
    }
    for (name, *more), expected in cases.items():
        out = tmp_path / "out"
        assert main(["replay", str(tmp_path / name), *more, "--out", str(out), "--quiet"]) in (1, 2)
        error = capsys.readouterr().err
        assert expected in error
        assert error.count("\n") == 1, error
        assert not out.exists()
        assert not list(tmp_path.glob(".out*"))
    assert pictures.exists()


SBATCH = """#!/bin/bash
last=$(sed -n 's/^#SBATCH --array=0-//p' "$2")
for task in $(seq 0 "$last"); do SLURM_ARRAY_TASK_ID=$task bash "$2" > /dev/null || exit 1; done
"""


def test_slurm_runs_an_array_of_workers(tmp_path, monkeypatch, capsys):
    source = inputs_of(tmp_path / "in", 2)
    arguments = ["replay", *source, "--out", str(tmp_path / "out"), *FLAGS, "--executor", "slurm"]
    arguments += ["--workers", "2", "--sbatch=--gres=gpu:1"]
    assert main([*arguments, "--dry-run"]) == 0
    output = capsys.readouterr().out
    assert output.count("waiting: ") == 2
    assert "#SBATCH --job-name=realmaster-replay\n#SBATCH --array=0-1\n" in output
    assert "#SBATCH --gres=gpu:1\n" in output
    state = tmp_path / "out" / ".replay"
    assert f'replay --work {state} --shard "$SLURM_ARRAY_TASK_ID/2"' in output
    assert not (tmp_path / "out").exists()
    command = tmp_path / "bin" / "sbatch"
    command.parent.mkdir()
    command.write_text(SBATCH)
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(command.parent), prepend=os.pathsep)
    assert main(arguments) == 0
    assert "replay: 2 made" in capsys.readouterr().out


def test_two_commands_do_not_make_one_recording(tmp_path, capsys):
    drive = write_recording(tmp_path / "drive", chunks=2)
    out = tmp_path / "out"
    with hold(tmp_path / ".out.replay", "out", 60.0):
        assert main(["replay", str(drive), "--out", str(out), "--engine", "identity"]) == 1
    assert "got another process that makes it" in capsys.readouterr().err


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("default")  # Ray's own
@pytest.mark.slow
def test_ray_runs_workers(tmp_path):
    ray = pytest.importorskip("ray")
    source = inputs_of(tmp_path / "in", 3)
    flags = ["--out", str(tmp_path / "out"), *FLAGS, "--executor", "ray", "--workers", "2"]
    try:
        assert main(["replay", *source, *flags]) == 0
    finally:
        ray.shutdown()
    assert sorted(path.name for path in (tmp_path / "out").glob("drive*")) == [
        f"drive{index}" for index in range(3)
    ]
    assert Path(tmp_path / "out" / "drive2" / "meta.json").exists()
