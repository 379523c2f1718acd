"""Items in order, each once, whatever the number of workers and ranks."""

import pytest
from street import make_chunk

import realmaster_live as rm
from realmaster_live.errors import ConfigError

torch = pytest.importorskip("torch")
DataLoader = torch.utils.data.DataLoader


@pytest.fixture
def data(made_once):
    """Three pieces of frames."""

    def make(folder):
        spec = rm.ChunkSpec(frames=36, height=64, width=96, fps=20)
        with rm.Recorder(folder / "drive", spec) as recorder:
            for index in range(4):
                recorder.write(make_chunk(index, frames=36))

    return rm.datasets.FrameDataset(made_once("stream-drive", make) / "drive", labels="semantic")


def numbers(items):
    return [item["frame_id"] for item in items]


def test_items_come_in_order(data):
    stream = rm.datasets.FrameStream(data)
    assert len(stream) == len(data) == 144
    assert numbers(stream) == numbers(data)


def test_workers_share_the_items(data):
    stream = rm.datasets.FrameStream(data)
    loader = DataLoader(stream, batch_size=None, num_workers=2, multiprocessing_context="fork")
    found = numbers(loader)
    assert sorted(found) == numbers(data)


def test_shuffling_follows_the_seed_and_the_epoch(data):
    stream = rm.datasets.FrameStream(data, shuffle=30, seed=3)
    first, again = numbers(stream), numbers(stream)
    stream.set_epoch(1)
    second = numbers(stream)
    other = numbers(rm.datasets.FrameStream(data, shuffle=30, seed=4))
    assert first == again
    assert sorted(first) == sorted(second) == sorted(other) == numbers(data)
    assert len({tuple(one) for one in (first, second, other, numbers(data))}) == 4


def test_a_worker_that_lives_on_sees_the_next_epoch(data):
    stream = rm.datasets.FrameStream(data, shuffle=30)
    loader = DataLoader(
        stream,
        batch_size=None,
        num_workers=1,
        multiprocessing_context="fork",
        persistent_workers=True,
    )
    first = numbers(loader)
    stream.set_epoch(1)
    second = numbers(loader)
    assert sorted(first) == sorted(second) and first != second


def test_ranks_share_the_items(data, monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    found = []
    for rank in range(2):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        stream = rm.datasets.FrameStream(data, shuffle=5)
        part = numbers(stream)
        assert len(part) == len(stream)
        found += part
    assert sorted(found) == numbers(data)


def test_a_negative_shuffle_is_refused(data):
    with pytest.raises(ConfigError, match="expected shuffle of 0 or more, got -1"):
        rm.datasets.FrameStream(data, shuffle=-1)
