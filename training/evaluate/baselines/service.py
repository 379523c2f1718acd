"""A vendor's editor as a method: pieces are sent as films, and its films are shown at their rate.

Legend: T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from realmaster_live.errors import ConfigError
from realmaster_live.replay import video_files
from realmaster_live.training.evaluate.baselines.baseline import PROMPT, Piece
from realmaster_live.training.evaluate.baselines.fitting import (
    Frames,
    at_times,
    lengthened,
    resized,
)
from realmaster_live.training.evaluate.baselines.orders import (
    Order,
    Vendor,
    answer_path,
    collect,
    order_path,
)
from realmaster_live.training.pairs.stage import Value
from realmaster_live.training.pairs.videos import write_video

MOST_CHARACTERS = 1000  # of a prompt, at both vendors


@dataclass(frozen=True, kw_only=True)
class ServiceConfig:
    """The options of a vendor's editor.

    Attributes:
        model: the vendor's name of it.
        prompt: the instruction.
        seconds: most seconds of a piece.
        seed: of the vendor's noise.
        usd_per_s: list price of a second; check it on the vendor's page.
        least_usd: list price of the shortest piece.
        url: of the interface.
        timeout_s: how long one run waits for a piece. poll_s: seconds between two questions.
    """

    model: str = ""
    prompt: str = PROMPT
    seconds: float = 10.0
    seed: int = 0
    usd_per_s: float = 0.0
    least_usd: float = 0.0
    url: str = ""
    timeout_s: float = 1800.0
    poll_s: float = 6.0

    def __post_init__(self) -> None:
        if not 0 < len(self.prompt) <= MOST_CHARACTERS or self.seconds <= 0 or self.poll_s <= 0:
            raise ConfigError(
                f"expected a prompt of 1 to {MOST_CHARACTERS} characters, and seconds and poll_s "
                f"above 0, got {len(self.prompt)}, {self.seconds:g} and {self.poll_s:g}: change "
                "the table of the method"
            )


@dataclass(frozen=True, kw_only=True)
class Seat:
    """What is the vendor's own.

    Attributes:
        vendor: its name. variable: of the environment, which holds the key.
        client: how it is asked.
        least_s: the shortest film that it takes, seconds.
    """

    vendor: str
    variable: str
    client: Vendor
    least_s: float = 0.0


class Service:
    """Has pieces edited by a vendor."""

    def __init__(self, config: ServiceConfig, seat: Seat, key: str) -> None:
        """Take the options; `key` is the secret, "" where the environment has none."""
        self.config, self.seat, self._key = config, seat, key

    @property
    def vendor(self) -> str:
        """Whom the frames are sent to, and who is paid."""
        return self.seat.vendor

    def window(self, fps: float) -> int:
        """Return the most frames of a piece."""
        return max(1, int(self.config.seconds * fps))

    @property
    def parameters(self) -> Mapping[str, Value]:
        """What decides a film; the key and the price do not."""
        config = self.config
        return {"model": config.model, "prompt": config.prompt, "seed": config.seed}

    def usd(self, seconds: float) -> float:
        """Return the list price of a piece."""
        billed = max(seconds, self.seat.least_s)
        return max(self.config.least_usd, self.config.usd_per_s * billed)

    def is_ordered(self, place: Path) -> bool:
        """Return whether a piece has been ordered, or its answer is here."""
        return order_path(place).exists() or answer_path(place).exists()

    def check(self) -> None:
        """Look for the key."""
        if not self._key:
            raise ConfigError(
                f"expected a key of {self.vendor} in {self.seat.variable}, got none: make one on "
                f"its page and export {self.seat.variable}"
            )

    def realize(self, piece: Piece, place: Path) -> Frames:
        """Return the piece as the vendor edited it."""
        draft = Order(
            vendor=self.vendor,
            model=self.config.model,
            usd=round(self.usd(piece.seconds), 4),
            placed="",
        )
        with self._sent(piece) as film:
            answer = collect(
                place,
                self.seat.client,
                draft,
                lambda: film,
                timeout_s=self.config.timeout_s,
                poll_s=self.config.poll_s,
            )
        return shown_at_rate(answer, piece)

    @contextmanager
    def _sent(self, piece: Piece) -> Iterator[Path]:
        """Yield the film to send: of even sides, and at least as long as the vendor takes."""
        least = int(np.ceil(self.seat.least_s * piece.fps))
        width, height = (side + side % 2 for side in piece.size)
        frames = resized(lengthened(piece.frames, least), (width, height))
        with TemporaryDirectory() as folder:
            film = Path(folder) / "render.mp4"
            write_video(film, frames, piece.fps, pixel_format="yuv420p")
            yield film


def shown_at_rate(film: Path, piece: Piece) -> Frames:
    """Return what a film shows at the times of a piece's frames, whatever its own rate.

    Raises:
        PairError: it cannot be played, or is shorter than the piece.
    """
    facts = video_files.describe(film)
    wanted = at_times(len(piece.frames), piece.fps, facts.times)
    shown: list[Frames] = []
    for index, picture in enumerate(video_files.pictures(film, range(wanted[-1] + 1))):
        shown += [picture] * wanted.count(index)
    return np.stack(shown)
