"""Effects happen exactly once, wherever a worker is killed: real processes, real SIGKILL."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trial_worker
from trial_dataset import calls, make_dataset, worker
from waiting import until

from realmaster_live.jobs.leases import LEASES, hold
from realmaster_live.jobs.work import DONE, QUARANTINED
from realmaster_live.system.termination import termination_raises
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.collect import find_garbage
from realmaster_live.training.pairs.manifest import rows, stage_folder

CLIPS = [f"c{index:02d}" for index in range(4)]


def start(dataset: Path, point: str = "never", victim: str = "c01") -> subprocess.Popen:
    script = trial_worker.__file__
    paths = os.pathsep.join([str(Path(script).parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, script, str(dataset), point, victim],
        env={**os.environ, "PYTHONPATH": paths},
    )


def await_call(dataset: Path) -> None:
    until(lambda: calls(dataset), "no worker began a clip")


def check_whole(dataset: Path) -> None:
    """Every object is there once and as it should be, and nothing else is."""
    found = Chain(dataset).finished("copies")
    assert sorted(found) == CLIPS
    for name, path in found.items():
        assert path.read_text() == f"copy of {name}\n".ljust(100, ".")
    assert sorted(dataset.glob("objects/*/[!.]*")) == sorted(found.values())
    assert [row.status for row in rows(dataset, "copies")] == [DONE] * len(CLIPS)
    assert not list((dataset / LEASES).glob("*.json"))


@pytest.mark.parametrize("point", [p for p in trial_worker.POINTS if p != "never"])
def test_a_worker_that_is_killed_loses_only_what_was_not_committed(point, tmp_path):
    dataset = make_dataset(tmp_path / "set")
    assert start(dataset, point).wait(60) == -signal.SIGKILL
    committed = {row.clip_id for row in rows(dataset, "copies")}
    assert committed == {"c00"}, "the clip before the victim is committed, the victim is not"
    before = calls(dataset)

    worker(dataset).run()

    check_whole(dataset)
    again = calls(dataset)[len(before) :]
    assert sorted(again) == ["c01", "c02", "c03"], "committed work is not redone"
    assert Chain(dataset).rows("copies")["c01"].attempts == 2
    find_garbage(Chain(dataset)).remove()
    check_whole(dataset)


@pytest.mark.parametrize("point", ["before write", "before rename", "before row", "in the row"])
def test_what_a_killed_worker_leaves_behind_is_garbage(point, tmp_path):
    dataset = make_dataset(tmp_path / "set")
    assert start(dataset, point).wait(60) == -signal.SIGKILL
    for path in stage_folder(dataset, "copies").iterdir():
        os.utime(path, (0, 0))  # long ago: a young unfinished file may belong to a living worker
    found = find_garbage(Chain(dataset))
    assert len(found.leases) == 1
    assert len(found.objects) == (point in ("before row", "in the row"))
    assert len(found.parts) == (point in ("before rename", "in the row"))
    assert found.bytes >= (100 if point != "before write" else 0)
    found.remove()
    assert find_garbage(Chain(dataset)).bytes == 0
    worker(dataset).run()
    check_whole(dataset)


def test_a_clip_that_kills_its_worker_again_and_again_is_given_up(tmp_path):
    dataset = make_dataset(tmp_path / "set")
    for _ in range(3):
        assert start(dataset, "before write").wait(60) == -signal.SIGKILL
    assert start(dataset, "before write").wait(60) == 0
    states = {name: row.status for name, row in Chain(dataset).rows("copies").items()}
    assert states == dict.fromkeys(CLIPS, DONE) | {"c01": QUARANTINED}
    assert "killed" in Chain(dataset).rows("copies")["c01"].error


def test_a_worker_that_was_asleep_finds_its_lease_taken_and_its_work_done(tmp_path):
    dataset = make_dataset(tmp_path / "set", wait_s=1.5, run={"lease_s": 1.5})
    sleeper = start(dataset)
    try:
        await_call(dataset)
        sleeper.send_signal(signal.SIGSTOP)
        time.sleep(2.0)  # longer than the lease
        held = {path.stem for path in (dataset / LEASES).glob("*.json")}
        assert len(held) == 1
        worker(dataset).run()
        check_whole(dataset)
        made = {row.key: row for row in rows(dataset, "copies")}
    finally:
        sleeper.send_signal(signal.SIGCONT)
    assert sleeper.wait(60) == 0
    check_whole(dataset)
    assert {row.key: row for row in rows(dataset, "copies")} == made, "the sleeper wrote a row"
    assert len(calls(dataset)) == len(CLIPS) + 1, "one clip was tried twice, by both"


def test_two_workers_never_make_the_same_clip(tmp_path):
    dataset = make_dataset(tmp_path / "set", wait_s=0.05)
    processes = [start(dataset), start(dataset)]
    assert [process.wait(60) for process in processes] == [0, 0]
    check_whole(dataset)
    assert sorted(calls(dataset)) == CLIPS


def test_sigterm_gives_the_lease_back_and_counts_no_attempt(tmp_path):
    dataset = make_dataset(tmp_path / "set", wait_s=60.0)
    command = [sys.executable, "-m", "realmaster_live", "pairs", "work", str(dataset)]
    parts = str(Path(trial_worker.__file__).parent)
    process = subprocess.Popen(
        [*command, "--stage", "copies"], env={**os.environ, "PYTHONPATH": parts}
    )
    try:
        await_call(dataset)
    finally:
        process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    assert not list((dataset / LEASES).glob("*.json"))
    assert not rows(dataset, "copies")
    assert not list(dataset.rglob(".*.part*"))


def test_a_lease_is_given_back_though_a_second_signal_comes_meanwhile(tmp_path, monkeypatch):
    def signalled(path, missing_ok=False):
        signal.raise_signal(signal.SIGTERM)
        os.unlink(path)  # noqa: PTH108

    with pytest.raises(SystemExit), termination_raises(), hold(tmp_path, "key", 60.0):
        assert list((tmp_path / LEASES).glob("*.json"))
        monkeypatch.setattr(Path, "unlink", signalled)
        signal.raise_signal(signal.SIGTERM)
    assert not list((tmp_path / LEASES).glob("*.json"))
