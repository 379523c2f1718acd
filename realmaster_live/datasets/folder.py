"""The folder of an export, which is created, resumed or refused; export.json lists its content."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from realmaster_live.datasets.card import card_of
from realmaster_live.datasets.categories import Categories
from realmaster_live.datasets.frames_csv import FRAMES, Row, row_of, table_of
from realmaster_live.datasets.selection import Drive, Selection
from realmaster_live.datasets.summary import DriveSummary, Summary, Tally
from realmaster_live.datasets.written import LIST, WrittenFiles, remove_written
from realmaster_live.errors import ConfigError, RecordingError, reason
from realmaster_live.recording.sample import Sample
from realmaster_live.system.atomic_files import write_bytes
from realmaster_live.system.texts import read_object

INDEX = "export.json"
README = "README.md"
REMEDY = "export into another folder, or --overwrite"
PARTS = ".parts"  # what each recording adds to files of the whole export; kept for --resume


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How an export is written.

    Attributes:
        resume: keep the recordings that an earlier run finished, and export the others.
        overwrite: remove the files of an earlier export from the folder.
        categories: replaces the format's own categories.
        unmapped: category of all classes that the categories do not name, "none" to leave them out;
            without it, such a class is an error.
        quality: quality of JPEG files, 1 to 100.
        threads: number of threads that encode pictures.
    """

    resume: bool = False
    overwrite: bool = False
    categories: Categories | None = None
    unmapped: str | None = None
    quality: int = 95
    threads: int = 2

    def __post_init__(self) -> None:
        """Refuse a quality that JPEG does not know."""
        if not 1 <= self.quality <= 100:
            raise ConfigError(f"expected a quality from 1 to 100, got {self.quality}: try 95")


class ExportFolder:
    """The folder of an export while it is written; export.json is written atomically.

    Args:
        out: the folder, which is made if it does not exist.
        export: name of the format.
        drives: the recordings of the selection.
        selection: what is exported.
        options: options of the run.
        settings: the format's own options; like the selection, they must not change when an export
            is resumed.

    Attributes:
        written: the files of this and of earlier runs.

    Raises:
        ConfigError: the folder holds something else, or an export of another selection.
    """

    def __init__(
        self,
        out: Path,
        export: str,
        drives: Sequence[Drive],
        selection: Selection,
        options: ExportOptions,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.out = out
        self.export = export
        self.selection = selection
        self._opened = tuple(drives)
        self._began_s = time.monotonic()
        self._settings = {**_settings(export, selection, options), "options": dict(settings or {})}
        self._drives: dict[str, DriveSummary] = {}
        self._rows: list[Row] = []  # of frames.csv, of the recording that is being exported
        if options.resume and options.overwrite:
            raise ConfigError("expected resume or overwrite, got both: give one")
        self.written = self._prepare(drives, options)
        self.skipped = tuple(self._drives)

    def _prepare(self, drives: Sequence[Drive], options: ExportOptions) -> WrittenFiles:
        index = self.out / INDEX
        if self.out.exists() and not self.out.is_dir():
            raise ConfigError(
                f"expected a folder for the export, got a file at {self.out}: name another"
            )
        if not self.out.exists() or {path.name for path in self.out.iterdir()} <= {LIST}:
            self.out.mkdir(parents=True, exist_ok=True)
            return self._begin()
        if not index.exists():
            raise ConfigError(
                f"expected an empty folder or an export in {self.out}, got other files: give "
                "another folder"
            )
        if options.overwrite:
            remove_written(self.out)
            return self._begin()
        if not options.resume:
            raise ConfigError(
                f"expected an empty folder, got an export in {self.out}: continue it with "
                "--resume, or replace it by --overwrite"
            )
        what = "the index of an export"
        self._resume(drives, read_object(index, what=what, remedy=REMEDY, error=ConfigError))
        return WrittenFiles(self.out, resume=True)

    def _begin(self) -> WrittenFiles:
        written = WrittenFiles(self.out, resume=False)
        self._write(complete=False)
        return written

    def _resume(self, drives: Sequence[Drive], content: Mapping[str, Any]) -> None:
        wanted = json.loads(json.dumps(self._settings))
        for name, value in wanted.items():
            if content.get(name) != value:
                raise ConfigError(
                    f"expected {name} {value} in {self.out / INDEX} to resume, got "
                    f"{content.get(name)}: give the options it was begun with, or --overwrite"
                )
        try:
            self._drives = {
                name: DriveSummary(**drive) for name, drive in content["recordings"].items()
            }
        except (AttributeError, KeyError, TypeError) as error:
            what = "recordings" if isinstance(error, KeyError) else reason(error)
            raise _damaged(self.out / INDEX, f"no list of them ({what})") from error
        names = {drive.name: drive for drive in drives}
        for name, done in self._drives.items():
            candidates = drives if name not in names else ()
            conflicting = [
                drive
                for drive in candidates
                if drive.fingerprint == done.fingerprint
                or set(drive.stems.values()) & {*done.stems}
            ]
            if name in names and done.fingerprint not in ("", names[name].fingerprint):
                conflicting = [names[name]]
            if conflicting:
                first = conflicting[0]
                raise ConfigError(
                    f"expected each recording under the name it has in {self.out / INDEX}, got "
                    f"{first.recording.folder} as {first.name} beside {name}, which an earlier run "
                    "wrote: export all of them into a new folder, or --overwrite"
                )

    @contextmanager
    def drive(self, drive: Drive) -> Iterator[Tally | None]:
        """Yield the counts of one recording, which counts as finished after the `with` block.

        None is yielded for a recording that an earlier run finished.

        Raises:
            ConfigError: a finished recording now has another split.
        """
        done = self._drives.get(drive.name)
        if done is not None:
            if done.split != drive.split:
                raise ConfigError(
                    f"expected {drive.name} in {done.split} as in {self.out / INDEX}, got "
                    f"{drive.split}: name its group in the split rule, or --overwrite"
                )
            yield None
            return
        tally = Tally()
        self._rows = []
        yield tally
        self.write_text(_part(drive.name, "frames"), json.dumps(self._rows))
        damaged = drive.recording.damaged
        self._drives[drive.name] = tally.summary(
            split=drive.split,
            damaged=damaged,
            licences=drive.licences(self.selection.variant),
            fingerprint=drive.fingerprint,
            stems=tuple(drive.stems.values()),
            lenses=drive.lenses(),
        )
        self._write(complete=False)

    def note(self, name: str, drive: Drive, sample: Sample) -> None:
        """Add a picture to frames.csv under its own name in the data set."""
        self.add_rows([row_of(name, drive, sample, self.selection.variant)])

    def add_rows(self, rows: Iterable[Row]) -> None:
        """Add pictures to frames.csv; `row_of` gives their rows."""
        self._rows += rows

    def write_part(self, drive: Drive, part: Any) -> None:
        """Store what a recording adds to the files of the whole export, as JSON."""
        self.write_text(_part(drive.name), json.dumps(part))

    def parts(self) -> Iterator[tuple[DriveSummary, Any]]:
        """Yield the summary and the part of each finished recording, sorted by their names."""
        for name, drive in sorted(self._drives.items()):
            yield drive, self._read(_part(name))

    def _read(self, name: str) -> Any:
        path = self.out / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RecordingError(
                f"expected what an earlier run noted in {path}, got {reason(error)}: {REMEDY}"
            ) from error

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the export atomically."""
        _write_text(self.written.claim(self.out / name), text)

    def finish(self) -> Summary:
        """Write frames.csv, README.md and export.json, and return the summary.

        Raises:
            RecordingError: no frame was written.
        """
        rule = self.selection.rules.in_words()
        summary = Summary(
            export=self.export,
            variant=self.selection.variant,
            out=self.out,
            drives=dict(self._drives),
            skipped=self.skipped,
            rule=rule,
            seconds=time.monotonic() - self._began_s,
        )
        summary.check()
        rows = (row for name in self._drives for row in self._read(_part(name, "frames")))
        self.write_text(FRAMES, table_of(rows))
        self.write_text(README, card_of(summary, self._opened, self.selection))
        self._write(complete=True)
        return summary

    def _write(self, *, complete: bool) -> None:
        drives = {name: asdict(drive) for name, drive in self._drives.items()}
        content = {**self._settings, "complete": complete, "recordings": drives}
        _write_text(self.out / INDEX, json.dumps(content, indent=1))


def _settings(export: str, selection: Selection, options: ExportOptions) -> dict[str, Any]:
    """Return what must not change when an export is resumed."""
    rules = {name: str(value) for name, value in asdict(selection.rules).items()}
    return {
        "format": export,
        "software": f"realmaster-live {version('realmaster-live')}",
        "variant": selection.variant,
        "cameras": list(selection.cameras),
        "every": selection.every,
        "split": asdict(selection.split),
        "rules": rules,
        "categories": None if options.categories is None else asdict(options.categories),
        "unmapped": options.unmapped,
        **({} if selection.frames is None else {"frames": selection.frames.facts()}),
    }


def _part(drive: str, suffix: str = "json") -> str:
    """Return the name of the file that keeps what a recording adds; drives have no dots."""
    return f"{PARTS}/{drive}.{suffix}"


def _damaged(path: Path, got: str) -> ConfigError:
    return ConfigError(f"expected the index of an export in {path}, got {got}: {REMEDY}")


def _write_text(path: Path, text: str) -> None:
    try:  # a path in a message need not be UTF-8
        write_bytes(path, text.encode(errors="backslashreplace"), sync=False)
    except OSError as error:
        raise RecordingError(
            f"expected to write {path}, got {error.strerror}: free some disk space or export "
            "elsewhere"
        ) from error
