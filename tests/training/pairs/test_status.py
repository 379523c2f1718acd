"""Counts, what is left, and what it costs: from measured rows only."""

import json

import pytest
from trial_dataset import make_dataset, trial_clip, worker

from realmaster_live.jobs.work import FAILED
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.cost import duration_text, estimate, lacks_room, size_text
from realmaster_live.training.pairs.manifest import Row, append, read_clips, write_clips
from realmaster_live.training.pairs.status import StageStatus, read_status
from realmaster_live.training.pairs.work import StageWork


def test_counts_follow_the_work(tmp_path):
    dataset = make_dataset(tmp_path, poison=["c03"])
    copies, counts = (read_status(Chain(dataset), name) for name in ("copies", "counts"))
    assert (copies.clips, copies.done, copies.waiting, copies.ready) == (4, 0, 4, 4)
    assert (counts.ready, counts.blocked) == (0, 4)
    assert copies.seconds_left is None
    assert copies.bytes_left is None

    worker(dataset).run()
    worker(dataset, "counts").run(limit=1)

    copies, counts = (read_status(Chain(dataset), name) for name in ("copies", "counts"))
    assert (copies.done, copies.failed, copies.quarantined, copies.waiting) == (3, 0, 1, 0)
    assert copies.bytes == 300
    assert (copies.seconds_left, copies.bytes_left) == (0.0, 0.0)
    assert copies.errors == {"c03": "expected another clip, got c03: leave it out"}
    assert (counts.done, counts.ready, counts.blocked, counts.waiting) == (1, 2, 1, 3)
    assert counts.seconds_left > 0
    assert json.dumps(copies.errors)


def test_a_failed_clip_waits_and_is_counted(tmp_path):
    dataset = make_dataset(tmp_path)
    chain = Chain(dataset)
    clip = chain.clips[0]
    row = Row(clip_id="c00", key=chain.key("copies", clip), status=FAILED, error="a\nb: no")
    append(dataset, "copies", [row])
    status = read_status(chain, "copies")
    assert (status.failed, status.waiting, status.ready) == (1, 4, 4)
    assert status.errors == {"c00": "b: no"}


def test_a_removed_file_waits_again_and_counts_again_when_it_is_made(tmp_path):
    dataset = make_dataset(tmp_path)
    worker(dataset).run()
    Chain(dataset).finished("copies")["c02"].unlink()
    work = StageWork(Chain(dataset), "copies")
    status = StageStatus.of(work)
    assert (status.done, status.ready) == (3, 1)
    worker(dataset).run()
    work.refresh()
    status = StageStatus.of(work)
    assert (status.done, status.ready) == (4, 0)


def test_the_estimate_goes_by_the_pixels_of_what_waits(tmp_path):
    from dataclasses import replace

    dataset = make_dataset(tmp_path, clips=0)
    small = [trial_clip("a"), trial_clip("b")]
    large = replace(trial_clip("c"), width=64, height=32, frames=9)
    write_clips(dataset, [*small, large])
    chain = Chain(dataset)
    made = [
        Row(clip_id=clip.clip_id, key=chain.key("copies", clip), wall_s=2.0, bytes=1000)
        for clip in small
    ]
    append(dataset, "copies", made)
    for row, clip in zip(made, small, strict=True):
        path = chain.path("copies", clip)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(row.key)
    status = read_status(chain, "copies")
    factor = 64 * 32 * 9 / (16 * 16 * 5)
    assert status.seconds_left == pytest.approx(2.0 * factor)
    assert status.bytes_left == pytest.approx(1000 * factor)
    cost = estimate(status, workers=4)
    assert (cost.make, cost.reuse) == (1, 2)
    assert cost.seconds == pytest.approx(2.0 * factor), "four workers do not share one clip"
    assert cost.line() == "copies: 1 to make, 2 reused; about 29 s and 14 kB, as measured"
    assert len(read_clips(dataset)) == 3


def test_what_was_never_measured_is_unknown(tmp_path):
    status = read_status(Chain(make_dataset(tmp_path)), "copies")
    assert estimate(status, 2).line() == (
        "copies: 4 to make, 0 reused; time and bytes unknown until one is made"
    )
    assert lacks_room(tmp_path, None) is None
    assert lacks_room(tmp_path, 1.0) is None
    assert "1000.0 TB are still to be made" in lacks_room(tmp_path, 1e15)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "unknown"), (3.4, "3 s"), (200, "3 min"), (12_000, "3 h 20 min"), (2e5, "2 d 7 h")],
)
def test_durations_in_words(seconds, text):
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "unknown"), (7, "7 B"), (1500, "1.5 kB"), (41e9, "41 GB"), (2.5e12, "2.5 TB")],
)
def test_bytes_in_words(count, text):
    assert size_text(count) == text
