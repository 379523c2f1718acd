"""The folder of a replay job: of this version, of an earlier one, and one that somebody made up."""

import json
import os

import pytest

from realmaster_live.errors import ConfigError
from realmaster_live.jobs.leases import Holder, hold, is_stale, read_holder
from realmaster_live.jobs.work import FAILED, QUARANTINED, WAITING
from realmaster_live.replay.footage import Footage, Reading
from realmaster_live.replay.job import PLAN, Job, Realizing, plan
from realmaster_live.replay.realize import even_clip

DEEP = "[" * 100_000 + "]" * 100_000
STAMP = {
    "input": "drive0", "input_sha256": "c1", "engine": "embedded", "engine_sha256": "62",
    "prompt": None, "seed": 0, "sizes": {"front": [96, 64]}, "fps": 20, "labels": None,
    "lossless": True, "fidelity": {},
}  # fmt: skip


def written_before(out) -> dict:
    """A plan as versions before the common job engine wrote it."""
    footage = {
        "kind": "recording", "name": "drive0", "path": "/data/in/drive0",
        "cameras": {"front": [96, 64]}, "fps": 20, "frames": 48, "sha256": "c1",
        "told": {"map": "Town05"}, "options": {},
    }  # fmt: skip
    piece = {
        "footage": footage, "out": str(out / "drive0"), "sizes": {"front": [96, 64]},
        "stamp": STAMP,
    }  # fmt: skip
    run = {"attempts": 3, "lease_s": 120.0, "sbatch": ["-p gpu"], "num_cpus": 1.0, "num_gpus": 0.0}
    return {
        "pieces": [piece], "overwrite": False, "run": run, "state": str(out / ".replay"),
        "reading": {"fps": None, "labels": ["depth"], "size": None, "server": ["::1", 2000]},
        "realizing": {
            "engine": "embedded", "prompt": None, "seed": 0, "size": [96, 64], "lossless": True,
            "fidelity": {},
        },
    }  # fmt: skip


def write(state, content) -> None:
    state.mkdir(exist_ok=True)
    (state / PLAN).write_text(content if isinstance(content, str) else json.dumps(content))


def test_a_job_is_read_as_it_was_written(tmp_path):
    footage = Footage(
        kind="recording", name="drive 1", path="/data/drive", cameras={"front": (96, 64)},
        fps=20.0, frames=9, sha256="ab", origin={"map": "Town05"}, options={"layers": 2},
    )  # fmt: skip
    reading = Reading(fps=20.0, labels=("depth",), size=(64, 32), server=("::1", 2000))
    realizing = Realizing(engine="identity", prompt="rain", fidelity={"lock": True})
    job = plan([footage, footage], tmp_path / "out", reading, realizing)
    job.write()
    assert Job.read(job.state) == job
    assert [piece.name for piece in job.pieces] == ["drive-1", "drive-1~2"]


def test_a_job_of_an_earlier_version_continues(tmp_path):
    state = tmp_path / ".replay"
    write(state, written_before(tmp_path))
    job = Job.read(state)
    (piece,) = job.pieces
    assert piece.out == tmp_path / "drive0"
    assert piece.footage.origin == {"map": "Town05"}
    assert piece.sizes == {"front": (96, 64)}
    assert (job.reading.labels, job.reading.server) == (("depth",), ("::1", 2000))
    assert job.run.sbatch == ("-p gpu",)
    assert job.status(piece) == WAITING
    (state / "tries").mkdir()
    failures = state / "tries" / "drive0.json"
    for attempts, status in ((1, FAILED), (3, QUARANTINED)):
        failures.write_text(json.dumps({"attempts": attempts, "error": "a\nb", "stamp": STAMP}))
        assert job.status(piece) == status
    failures.write_text(json.dumps({"attempts": 3, "error": "", "stamp": {**STAMP, "seed": 1}}))
    assert job.status(piece) == WAITING


def test_a_lease_of_an_earlier_version_is_known(tmp_path):
    me = Holder.this_process()
    path = tmp_path / "leases" / "drive0.json"
    path.parent.mkdir()
    content = {"token": "ab", "host": me.host, "pid": me.pid, "started": me.started}
    path.write_text(json.dumps(content))
    assert read_holder(path) == Holder(**content)
    assert not is_stale(path, 60.0)
    path.write_text(json.dumps({**content, "started": "0"}))
    assert is_stale(path, 60.0)
    with hold(tmp_path, "drive0", 60.0) as lease:
        assert lease.orphaned


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("out", "/home/me/thesis"),
        ("out", "../thesis"),
        ("out", "{folder}/../thesis"),
        ("out", "{folder}/.."),
        ("out", "{folder}/.replay"),
        ("out", "{folder}/deep/drive0"),
        ("sizes", {"front": [96]}),
        ("sizes", {"front": ["96", "64"]}),
        ("stamp", None),
        ("footage", {}),
    ],
)
def test_a_plan_that_names_other_places_or_types_is_one_sentence(key, value, tmp_path):
    content = written_before(tmp_path)
    if isinstance(value, str):
        value = value.replace("{folder}", str(tmp_path))
    content["pieces"][0][key] = value
    write(tmp_path / ".replay", content)
    with pytest.raises(ConfigError, match="realmaster replay INPUT --out DIR") as caught:
        Job.read(tmp_path / ".replay")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{}", "[]", DEEP, '{"pieces": {}}', "\x00"])
def test_a_plan_of_other_content_is_one_sentence(content, tmp_path):
    write(tmp_path / ".replay", content)
    with pytest.raises(ConfigError, match="expected the plan of a replay in"):
        Job.read(tmp_path / ".replay")


def test_a_plan_that_never_ends_is_not_read(tmp_path):
    state = tmp_path / ".replay"
    state.mkdir()
    os.mkfifo(state / PLAN)
    with pytest.raises(ConfigError, match="got a FIFO"):
        Job.read(state)


@pytest.mark.parametrize("content", ["", DEEP, "[]", '{"attempts": "many"}'])
def test_failures_that_cannot_be_read_are_not_none(content, tmp_path):
    state = tmp_path / ".replay"
    write(state, written_before(tmp_path))
    job = Job.read(state)
    (state / "tries").mkdir()
    (state / "tries" / "drive0.json").write_text(content)
    with pytest.raises(ConfigError, match="--retry"):
        job.status(job.pieces[0])
    job.forget_failures(job.pieces[0])
    assert job.status(job.pieces[0]) == WAITING


@pytest.mark.parametrize("content", ["", DEEP, "7", '{"pid": "../..", "host": 1}'])
def test_a_lease_of_other_content_expires_like_any(content, tmp_path):
    path = tmp_path / "leases" / "a.json"
    path.parent.mkdir()
    path.write_text(content)
    assert read_holder(path) is None
    assert not is_stale(path, 60.0)
    os.utime(path, (0, 0))
    with hold(tmp_path, "a", 60.0) as lease:
        assert lease is not None


@pytest.mark.parametrize(("frames", "clip"), [(81, 81), (80, 80), (82, 41), (200, 66), (5, 5)])
def test_footage_is_divided_evenly_into_whole_clips(frames, clip):
    assert even_clip(frames) == clip


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_replaced_by_its_replay(tmp_path, overwrite):
    out = tmp_path / "drive"
    out.mkdir()
    (out / "meta.json").write_text("{}")
    for path in (out, tmp_path / "drive" / ".." / "drive", out / "film.mp4"):
        footage = Footage(
            kind="recording", name="drive", path=str(path), cameras={"front": (96, 64)},
            fps=20.0, frames=9, sha256="ab", origin={}, options={},
        )  # fmt: skip
        realizing = Realizing(engine="identity")
        with pytest.raises(ConfigError, match="expected --out apart from the inputs, got"):
            plan([footage], out, Reading(), realizing, overwrite=overwrite)
