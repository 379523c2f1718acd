"""A piece as a clip of the pair pipeline, so that its stages can be run on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from realmaster_live.system.pictures import write_picture
from realmaster_live.training.evaluate.baselines.baseline import Piece
from realmaster_live.training.evaluate.baselines.diffusion import prepared
from realmaster_live.training.pairs.sources import MULTIPLE
from realmaster_live.training.pairs.stage import Clip


@contextmanager
def staged(piece: Piece, pixels: int, prompt: str) -> Iterator[tuple[Clip, Path]]:
    """Yield a piece as a clip of pictures without loss, and a folder for the stages' files."""
    frames = prepared(piece, pixels, MULTIPLE)
    with TemporaryDirectory() as name:
        folder = Path(name)
        pictures = folder / "pictures"
        pictures.mkdir()
        for index, frame in enumerate(frames):
            write_picture(pictures / f"{index:06d}.png", frame)
        yield (
            Clip(
                clip_id=f"piece-{piece.sha256[:12]}",
                source=str(pictures),
                kind="images",
                first=0,
                frames=len(frames),
                fps=piece.fps,
                width=frames.shape[2],
                height=frames.shape[1],
                sha256=piece.sha256,
                prompt=prompt,
            ),
            folder,
        )
