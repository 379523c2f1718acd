"""Policy `two_pass`: record what the simulator drew, realize it when the camera has stopped."""

from __future__ import annotations

import logging
from contextlib import closing, suppress
from pathlib import Path

from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.live.pipeline import run
from realmaster_live.live.stats import Stats
from realmaster_live.protocols import Engine
from realmaster_live.recording import Recorder, Recording
from realmaster_live.recording.placing import remove_recording

log = logging.getLogger(__name__)
FIRST_PASS = ".first-pass"  # what the first pass's folder is called after the second one's


class TwoPass:
    """Takes an engine's place in a feed: records the chunks, and realizes them afterwards.

    Args:
        engine: realizes the recording in `hand_over`; it stays the caller's.
        folder: of the recording that is handed over; must not exist. Beside it, until then, lies
            the lossless recording of the first pass.
    """

    def __init__(self, engine: Engine, folder: str | Path) -> None:
        self.engine, self.folder = engine, Path(folder)
        self._first = self.folder.with_name(self.folder.name + FIRST_PASS)
        self._recorder = Recorder(self._first, engine.spec, lossless=True)
        self._result = Recorder(self.folder)  # which refuses a folder that is in use, now

    @property
    def spec(self) -> ChunkSpec:
        """The engine's chunks."""
        return self.engine.spec

    def realize(self, chunk: Chunk) -> Chunk:
        """Record the chunk, and return it as it is."""
        self._recorder.write(chunk.with_frames(chunk.frames))
        return chunk

    def reset(self) -> None:
        """Do nothing: a gap is in the recorded chunks."""

    def hand_over(self) -> Stats | None:
        """Realize what was recorded into `folder`; None if nothing was.

        What was recorded first is removed only when all of it is in the new recording.
        """
        self._recorder.close()
        if not self._recorder.frames:
            return None
        log.warning("realizing %d recorded frames into %s", self._recorder.frames, self.folder)
        with closing(Recording(self._first)) as recording:
            stats = run(recording, self.engine, [self._result])
        remove_recording(self._first)
        with suppress(OSError):  # somebody put files of their own there
            self._first.rmdir()
        return stats

    def close(self) -> None:
        """Finish the first pass; the engine stays open."""
        self._recorder.close()
