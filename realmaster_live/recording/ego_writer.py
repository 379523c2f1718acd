"""What a segment holds of the vehicle: its states, its events and its sensors' sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from realmaster_live.frames.chunk import Chunk
from realmaster_live.recording.batches import BatchFile
from realmaster_live.recording.ego_rows import ego_rows, event_rows
from realmaster_live.recording.sweeps import SUFFIX, SweepWriter
from realmaster_live.recording.tables import keep_table, open_journal


class EgoWriter:
    """Writes each tick's state once, whatever the number of cameras; files are made when needed.

    Args:
        folder: the segment's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._journals: dict[str, BatchFile] = {}
        self._sweeps: dict[str, SweepWriter] = {}
        self._written: set[int] = set()  # frames

    def write(self, chunk: Chunk) -> None:
        """Append the states of a chunk's frames that no other camera's chunk brought."""
        new = [row for row, state in enumerate(chunk.egos) if state.frame_id not in self._written]
        if not new:
            return
        states = [chunk.egos[row] for row in new]
        self._written.update(state.frame_id for state in states)
        for state in states:
            for name, sweep in state.sweeps.items():
                if name not in self._sweeps:
                    path = self._folder / f"{name}{SUFFIX}"
                    self._sweeps[name] = SweepWriter(path, sweep.kind)
                self._sweeps[name].write(sweep)
        events = event_rows(states)
        if events is not None:
            self._journal("events").write(events)
        weathers = [chunk.sources[row].weather if chunk.sources else None for row in new]
        self._journal("events")  # begun with the first state, so that none means that none came
        self._journal("ego").write(ego_rows(states, weathers))

    def close(self) -> None:
        """Finish the files; may be called twice."""
        files: list[SweepWriter | BatchFile] = [*self._sweeps.values(), *self._journals.values()]
        for file in files:
            file.close()

    def finish(self) -> None:
        """Turn the journals into tables, after `close`."""
        for name in self._journals:
            keep_table(self._folder, name)

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files that a finished segment holds."""
        tables = (f"{name}.parquet" for name in self._journals)
        return (*tables, *(f"{name}{SUFFIX}" for name in self._sweeps))

    def _journal(self, name: str) -> Any:
        if name not in self._journals:
            self._journals[name] = open_journal(self._folder, name)
        return self._journals[name]
