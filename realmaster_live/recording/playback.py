"""Plays a recorded driving sequence as a source, so that any engine can realize it again."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.chunk import Frame
from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.recording.about import Meta, sha256_of
from realmaster_live.recording.packing import PACKINGS
from realmaster_live.recording.rows import read_rows
from realmaster_live.recording.streams import read_label, read_pictures

log = logging.getLogger(__name__)


class Recording:
    """A source that gives the rendered frames of a recording with their labels and poses.

    A recording whose process was killed plays as far as all of its files go.

    Args:
        folder: where a Recorder wrote.
        labels: which labels to read; None for all that were recorded.
        pace: give frames at the speed of the simulation clock instead of as fast as they decode.
        verify: compare the files with the checksums of the recorder first (about 1 s a gigabyte):
            decoders paint over damage without a word.

    Raises:
        RecordingError: a file is missing or damaged; the message names it.
        ConfigError: a label was asked for that was not recorded.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        labels: Collection[str] | None = None,
        pace: bool = False,
        verify: bool = True,
    ) -> None:
        self.folder = Path(folder)
        self.meta = Meta.read(self.folder)
        self.rows = read_rows(self.folder)
        self.pace = pace
        recorded = [name for name in self.meta.streams if name in PACKINGS]
        unknown = set(labels or ()) - set(recorded)
        if unknown:
            raise ConfigError(
                f"expected labels among {', '.join(recorded) or 'none'}, which were recorded, got "
                f"{', '.join(sorted(unknown))}: leave them out or record again with them"
            )
        self.labels = recorded if labels is None else [n for n in recorded if n in labels]
        self._closed = False
        self._check_files(verify)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Return the number of rows; a killed recorder may have left fewer whole pictures."""
        return int(self.rows.num_rows)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order, `captured_at` being the time at which they are given."""
        poses = np.array(self.rows["cam_to_world"].to_pylist(), np.float64).reshape(-1, 4, 4)
        optics = np.array(self.rows["intrinsics"].to_pylist(), np.float64).reshape(-1, 3, 3)
        numbers = self.rows["frame_id"].to_pylist()
        stamps = self.rows["timestamp"].to_pylist()
        dropped = self.rows["dropped_before"].to_pylist()
        began = time.monotonic()
        for row, images in enumerate(self._together(["sim", *self.labels])):
            if self._closed:
                return
            if self.pace:
                time.sleep(max(0.0, began + stamps[row] - stamps[0] - time.monotonic()))
            yield Frame(
                camera=self.meta.camera,
                frame_id=numbers[row],
                timestamp=stamps[row],
                captured_at=time.monotonic(),
                image=images["sim"],
                intrinsics=optics[row],
                cam_to_world=poses[row],
                labels={name: images[name] for name in self.labels},
                dropped_before=dropped[row],
            )

    def pairs(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        """Yield (rendered, realized) pictures, each (H, W, 3) uint8 sRGB."""
        if "real" not in self.meta.streams:
            raise RecordingError(
                f"expected realized pictures in {self.folder}, got rendered ones only: replay it "
                "through an engine first"
            )
        for images in self._together(["sim", "real"]):
            yield images["sim"], images["real"]

    def close(self) -> None:
        """End `frames`; may be called twice."""
        self._closed = True

    def _check_files(self, verify: bool) -> None:
        for file in self.meta.streams.values():
            path = self.folder / file
            if not path.exists():
                raise RecordingError(
                    f"expected {path}, got no such file: restore it from a copy or record again"
                )
            expected = self.meta.sha256.get(file)
            if verify and expected is not None and sha256_of(path) != expected:
                raise RecordingError(
                    f"expected {path} as it was recorded, got other bytes: restore the file from a "
                    "copy or record again"
                )
        if self.meta.complete and self.meta.frames != len(self):
            raise RecordingError(
                f"expected {self.meta.frames} rows beside the videos of {self.folder}, got "
                f"{len(self)}: restore the files from a copy or record again"
            )

    def _together(self, names: list[str]) -> Iterator[dict[str, Any]]:
        """Yield one decoded picture of every stream, row by row."""
        with ExitStack() as stack:
            readers = {name: stack.enter_context(closing(self._reader(name))) for name in names}
            for row in range(len(self)):
                images = {name: next(reader, None) for name, reader in readers.items()}
                short = [self.meta.streams[name] for name, image in images.items() if image is None]
                if short and self.meta.complete:
                    raise RecordingError(
                        f"expected {len(self)} pictures in {self.folder / short[0]}, got {row}: "
                        "restore the file from a copy or record again"
                    )
                if short:
                    log.warning(
                        "%s was cut short: played %d of %d frames", self.folder, row, len(self)
                    )
                    return
                yield images

    def _reader(self, name: str) -> Any:
        path = self.folder / self.meta.streams[name]
        decoded = read_label(path, name) if name in PACKINGS else read_pictures(path)
        try:
            yield from decoded
        except RecordingError:
            if self.meta.complete:
                raise
            # the last fragment of a killed recorder: what came before it is good
