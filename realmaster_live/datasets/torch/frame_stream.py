"""An iterable data set of torch over recordings: in order, so that films are decoded once."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.distributed
import torch.utils.data

from realmaster_live.datasets.torch.frame_dataset import FrameDataset
from realmaster_live.errors import ConfigError

PIECE = 64  # items in a row that one worker reads: a seek for each piece


class FrameStream(torch.utils.data.IterableDataset[Any]):
    """The items of a FrameDataset in order, shared by the workers of a DataLoader and by ranks.

    Args:
        dataset: whose items are read.
        shuffle: how many items wait to be drawn at random; 0 keeps their order. Pieces of 64 items
            are shuffled, too.
        seed: of the shuffling, together with the epoch.

    Raises:
        ConfigError: shuffle is negative.
    """

    def __init__(self, dataset: FrameDataset, *, shuffle: int = 0, seed: int = 0) -> None:
        if shuffle < 0:
            raise ConfigError(f"expected shuffle of 0 or more, got {shuffle}: raise it")
        self.dataset = dataset
        self.shuffle = shuffle
        self.seed = seed
        # in memory that workers share: one that lives on sees the next epoch
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]

    def set_epoch(self, epoch: int) -> None:
        """Shuffle differently from now on; call it before each epoch, as with a sampler."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        """Return the number of items that this rank reads."""
        return sum(map(len, self._pieces()))

    def __iter__(self) -> Iterator[Any]:
        """Yield this worker's items."""
        worker = torch.utils.data.get_worker_info()
        pieces = self._pieces()
        if worker is not None:
            pieces = pieces[worker.id :: worker.num_workers]
        places = (place for piece in pieces for place in piece)
        items = (self.dataset[place] for place in places)
        if not self.shuffle:
            yield from items
            return
        number = 0 if worker is None else worker.id
        yield from _drawn(items, self.shuffle, random.Random(f"{self._draw}/{number}"))

    @property
    def _draw(self) -> str:
        return f"{self.seed}/{int(self._epoch)}"

    def _pieces(self) -> list[range]:
        """Return the pieces of this rank."""
        count = len(self.dataset)
        pieces = [range(at, min(at + PIECE, count)) for at in range(0, count, PIECE)]
        if self.shuffle:
            random.Random(self._draw).shuffle(pieces)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            ranks = torch.distributed.get_world_size()
            return pieces[torch.distributed.get_rank() :: ranks]
        return pieces

    def __repr__(self) -> str:
        """Show whose items it reads."""
        return f"FrameStream({self.dataset!r}, shuffle={self.shuffle})"


def _drawn(items: Iterable[Any], waiting: int, draw: random.Random) -> Iterator[Any]:
    """Yield items in a random order, each at most about `waiting` places from its own."""
    held: list[Any] = []
    for item in items:
        held.append(item)
        if len(held) > waiting:
            place = draw.randrange(len(held))
            held[place], held[-1] = held[-1], held[place]
            yield held.pop()
    draw.shuffle(held)
    yield from held
