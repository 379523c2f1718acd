from dataclasses import dataclass

import pytest
import torch

from realmaster_live.errors import PairError
from realmaster_live.model.profile import TINY, WAN_1_3B
from realmaster_live.training.iclora.batches import Batches, cut


@dataclass(frozen=True)
class Pair:
    prompt: str
    reference: torch.Tensor
    target: torch.Tensor
    text: torch.Tensor | None = None


class Pairs:
    """Clips whose latents tell the clip and the latent frame that they are of."""

    def __init__(self, shapes, weights=None, drives=None):
        self.shapes = shapes
        self.drives = drives or [""] * len(shapes)
        self.weights = weights or [1.0] * len(shapes)

    def read(self, index):
        channels, frames, rows, columns = self.shapes[index]
        told = 100.0 * index + torch.arange(frames).view(1, -1, 1, 1)
        reference = told.expand(channels, frames, rows, columns)
        return Pair(f"clip {index}", reference, -reference)


SHAPES = [(8, 6, 4, 6), (8, 6, 4, 6), (8, 9, 6, 4), (8, 2, 4, 6)]


def test_a_batch_is_of_one_shape_and_follows_from_seed_and_step():
    batches = Batches(Pairs(SHAPES), TINY, seed=3, batch=4, chunks=3)
    seen = set()
    for step in range(60):
        batch = batches.draw(step)
        again = batches.draw(step)
        assert torch.equal(batch.reference, again.reference)
        assert batch.reference.shape[:3] == (3, 4, 8)
        assert torch.equal(batch.target, -batch.reference)
        assert batch.samples == tuple(range(4 * step, 4 * step + 4))
        for sample, prompt in enumerate(batch.prompts):
            told = batch.reference[:, sample, 0, 0, 0].tolist()
            clip = int(prompt.removeprefix("clip "))
            start = 100.0 * clip + batch.first[sample]
            assert told == [start, start + 1, start + 2]
            seen.add((clip, batch.first[sample]))
    assert {clip for clip, _ in seen} == {0, 1, 2}  # the fourth is too short
    assert {first for clip, first in seen if clip == 0} == {0, 1, 2, 3}
    other = Batches(Pairs(SHAPES), TINY, seed=4, batch=4, chunks=3)
    assert [other.draw(s).prompts for s in range(9)] != [batches.draw(s).prompts for s in range(9)]


def test_clips_come_as_often_as_they_are_wanted():
    batches = Batches(Pairs(SHAPES[:2], [3.0, 1.0]), TINY, seed=0, batch=8, chunks=1)
    drawn = [prompt for step in range(100) for prompt in batches.draw(step).prompts]
    assert drawn.count("clip 0") / len(drawn) == pytest.approx(0.75, abs=0.05)
    none = Batches(Pairs(SHAPES[:2], [0.0, 1.0]), TINY, seed=0, batch=8, chunks=1)
    assert {prompt for step in range(20) for prompt in none.draw(step).prompts} == {"clip 1"}


def test_processes_share_a_batch():
    whole = Batches(Pairs(SHAPES), TINY, seed=1, batch=4, chunks=2)
    parts = [
        Batches(Pairs(SHAPES), TINY, seed=1, batch=4, chunks=2, share=(i, 2)) for i in range(2)
    ]
    for step in range(5):
        batch = whole.draw(step)
        shares = [part.draw(step) for part in parts]
        for index, share in enumerate(shares):
            assert torch.equal(share.target, batch.target[:, index::2])
            assert share.samples == batch.samples[index::2]
    with pytest.raises(PairError, match="processes can share"):
        Batches(Pairs(SHAPES), TINY, seed=1, batch=3, chunks=2, share=(0, 2))


def test_from_start_takes_the_first_chunks():
    batches = Batches(Pairs(SHAPES), TINY, seed=1, batch=4, chunks=1)
    for step in range(10):
        batch = batches.draw(step, from_start=True)
        assert batch.first == (0, 0, 0, 0)
        assert (batch.reference[0, :, 0, 0, 0] % 100 == 0).all()


def test_a_chunk_of_several_latent_frames_keeps_its_frame_axis():
    latents = torch.arange(9.0).view(1, 1, 9, 1, 1).expand(2, 16, 9, 4, 4)
    chunks = cut(latents, WAN_1_3B, first=1, chunks=2)
    assert chunks.shape == (2, 2, 16, 3, 4, 4)
    assert chunks[0, :, 0, :, 0, 0].tolist() == [[3, 4, 5], [6, 7, 8]]  # chunk, frame


def test_what_a_model_cannot_take_is_reported():
    with pytest.raises(PairError, match="at least 7 chunks"):
        Batches(Pairs(SHAPES[:2]), TINY, seed=0, batch=1, chunks=7)
    with pytest.raises(PairError, match="16 channels"):
        Batches(Pairs(SHAPES[:2]), WAN_1_3B, seed=0, batch=1, chunks=1)
    odd = Pairs([(8, 4, 5, 6)])
    with pytest.raises(PairError, match="multiples of 2"):
        Batches(odd, TINY, seed=0, batch=1, chunks=1)


def told_of(batch):
    """Clip and latent frames of every chunk of every sample."""
    frames = batch.reference[:, :, 0, :, 0, 0]  # (n, B, f)
    return [[chunk.tolist() for chunk in frames[:, sample]] for sample in range(frames.shape[1])]


LONG = [(16, 21, 4, 4)] * 3  # of 81 frames: seven chunks, the first of 1 + 4 + 4 frames
DRIVES = ["a", "a", "b"]


def test_the_sink_is_a_clips_beginning_of_any_age_as_in_the_live_engine():
    """Mid-stream chunks are never its content, and a clip's beginning is never anything else."""
    batches = Batches(Pairs(LONG, drives=DRIVES), WAN_1_3B, seed=0, batch=4, chunks=3)
    ages = set()
    for step in range(60):
        batch = batches.draw(step)
        for sample, (sink, before, last) in enumerate(told_of(batch)):
            clip = 100.0 * int(batch.prompts[sample].removeprefix("clip "))
            assert sink == [clip, clip + 1, clip + 2]
            assert before == [clip + 3 * batch.first[sample] + i for i in range(3)]
            assert last[0] == before[0] + 3
            ages.add(int((last[0] - sink[0]) / 3))
    assert ages == {2, 3, 4, 5, 6}
    started = told_of(batches.draw(0, from_start=True))[0]
    assert [chunk[0] % 100 for chunk in started] == [0, 3, 6]  # as after a reset


def test_a_share_of_sinks_is_of_another_place_of_the_same_drive():
    batches = Batches(
        Pairs(LONG, drives=DRIVES), WAN_1_3B, seed=0, batch=8, chunks=3, sink_elsewhere=0.5
    )
    seen = {clip: [] for clip in range(3)}
    for step in range(60):
        for sink, _, last in told_of(batches.draw(step)):
            assert sink[0] % 100 == 0
            seen[int(last[0] // 100)].append(int(sink[0] // 100))
    assert set(seen[0]) == set(seen[1]) == {0, 1}
    assert seen[0].count(1) / len(seen[0]) == pytest.approx(0.5, abs=0.12)
    assert set(seen[2]) == {2}  # alone in its drive
