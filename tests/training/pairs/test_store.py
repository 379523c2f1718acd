"""The store: an object is whole or not there, and a full disk says one sentence."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from trial_dataset import calls, make_dataset, worker

from realmaster_live.errors import DiskFull, MissingDependency, PairError
from realmaster_live.jobs.work import DONE
from realmaster_live.system.atomic_files import is_full
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.manifest import rows
from realmaster_live.training.pairs.store import object_path

KEY = "ab" + "0" * 62


def test_an_object_has_its_place_by_its_key(tmp_path):
    assert object_path(tmp_path, KEY, ".txt") == tmp_path / f"objects/ab/{KEY}.txt"


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "quota"), True),
        (RuntimeError("SafetensorError: No space left on device (os error 28)"), True),
        (OSError(errno.EACCES, "denied"), False),
        (ValueError("shape"), False),
        (MissingDependency("No space left on device"), False),
    ],
)
def test_a_full_disk_is_known_by_its_number_or_its_words(error, full, tmp_path):
    assert is_full(error, tmp_path / "file") == full


def test_a_full_disk_behind_an_error_of_our_own_is_found(tmp_path):
    try:
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as inner:
            raise PairError("expected to write a video, got an error: look") from inner
    except PairError as outer:
        assert is_full(outer, tmp_path / "file")


def test_a_run_stops_with_a_sentence_where_files_may_not_grow_and_then_continues(tmp_path):
    dataset = make_dataset(tmp_path / "set", bytes=200_000)
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "from realmaster_live.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["pairs", "work", str(dataset), "--stage", "copies"]
    ended = subprocess.run(
        [sys.executable, "-c", limited, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "parts")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("realmaster: error: expected room for ")
    assert ended.stderr.count("\n") == 1
    assert not rows(dataset, "copies")
    assert not list(dataset.glob("objects/*/*"))
    assert worker(dataset).run() == 4


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("no right to mount a file system here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_in_the_middle_loses_nothing_that_was_finished(small_disk):
    dataset = make_dataset(small_disk / "set", clips=6, bytes=500_000)
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2_000_000))
    with pytest.raises(DiskFull, match="free some space and run the same command again"):
        worker(dataset).run()
    finished = {row.clip_id for row in rows(dataset, "copies")}
    assert 0 < len(finished) < 6
    assert all(row.status == DONE for row in rows(dataset, "copies"))
    assert not list(dataset.rglob(".*.part*"))
    assert not list((dataset / "leases").glob("*.json"))
    before = len(calls(dataset))

    ballast.unlink()
    worker(dataset).run()

    assert len(Chain(dataset).finished("copies")) == 6
    assert not finished & set(calls(dataset)[before:])
