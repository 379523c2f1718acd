"""The manifest: Parquet files with the clips of a dataset and the attempts at each.

`manifest/stage=<name>/` grows by one small file a commit, so that any number of processes can
append without a lock. Readers merge all of them; the newest row of a key supersedes the others.
`compact` merges the files of a stage; the new file is written before the old ones are removed.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from realmaster_live.errors import PairError
from realmaster_live.jobs.work import DONE, FAILED, QUARANTINED, Status, reason_of
from realmaster_live.optional import require
from realmaster_live.system.arrow_memory import in_arrow_memory
from realmaster_live.system.atomic_files import replacing
from realmaster_live.system.contents import classify_file
from realmaster_live.system.inside import open_regular
from realmaster_live.system.records import decode
from realmaster_live.training.pairs.stage import Clip, Value

pa = require("pyarrow", extra="training")
parquet = require("pyarrow.parquet", extra="training")

CLIPS = pa.schema(
    [
        *((name, pa.string()) for name in ("clip_id", "source", "kind")),
        *((name, pa.int64()) for name in ("first", "frames")),
        ("fps", pa.float64()),
        *((name, pa.int64()) for name in ("stride", "width", "height")),
        *((name, pa.string()) for name in ("town", "route", "weather")),
        ("seed", pa.int64()),
        *((name, pa.string()) for name in ("prompt", "licence")),
        ("labels", pa.list_(pa.string())),
        ("truth", pa.bool_()),
        ("sha256", pa.string()),
    ]
)
ROWS = pa.schema(
    [
        *((name, pa.string()) for name in ("clip_id", "key", "inputs", "parameters_hash")),
        *((name, pa.string()) for name in ("model", "model_sha256", "licence")),
        ("version", pa.int64()),
        ("status", pa.string()),
        ("attempts", pa.int64()),
        ("wall_s", pa.float64()),
        ("error", pa.string()),
        ("facts", pa.string()),
        ("sha256", pa.string()),
        ("bytes", pa.int64()),
        ("written_s", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The newest attempt at one clip in one stage.

    Attributes:
        clip_id: of which clip.
        key: name of the object.
        inputs: stage name -> key of the file that was read.
        parameters_hash: of the stage. version: of the stage.
        model: id of the stage's network. model_sha256: of its weights. licence: of the network.
        status: "done", "failed" (a retry follows) or "quarantined".
        attempts: number of attempts so far.
        wall_s: seconds that the last attempt took.
        error: traceback of the last attempt, or "".
        facts: what the stage reported about the file.
        sha256: of the object's bytes. bytes: its size.
        written_s: when the row was written, Unix time.
    """

    clip_id: str
    key: str
    inputs: Mapping[str, str] = field(default_factory=dict)
    parameters_hash: str = ""
    model: str = ""
    model_sha256: str = ""
    licence: str = ""
    version: int = 1
    status: Status = DONE
    attempts: int = 1
    wall_s: float = 0.0
    error: str = ""
    facts: Mapping[str, Value] = field(default_factory=dict)
    sha256: str = ""
    bytes: int = 0
    written_s: float = field(default_factory=time.time)

    @property
    def reason(self) -> str:
        """Return the last line of the traceback."""
        return reason_of(self.error)


def read_clips(dataset: Path) -> list[Clip]:
    """Return the clips of a dataset in the order of the plan."""
    path = dataset / "manifest" / "clips.parquet"
    if not path.exists():
        raise PairError(
            f"expected the plan of a dataset at {path}, got nothing: "
            f"run realmaster pairs plan {dataset} SOURCE"
        )
    remedy = f"run realmaster pairs plan {dataset} SOURCE again"
    clips = []
    for row in read_table(path, CLIPS, remedy=remedy).to_pylist():
        try:
            values = {name: value for name, value in row.items() if value is not None}
            clips.append(Clip(**values | {"labels": tuple(row.get("labels") or ())}))
        except (TypeError, ValueError) as error:
            raise PairError(f"expected clips in {path}, got {error}: {remedy}") from error
    return clips


def write_clips(dataset: Path, clips: Iterable[Clip]) -> None:
    """Replace the plan of a dataset."""
    rows = [asdict(clip) | {"labels": list(clip.labels)} for clip in clips]
    write_table(dataset / "manifest" / "clips.parquet", pa.Table.from_pylist(rows, schema=CLIPS))


def read_table(path: Path, schema: Any, *, remedy: str) -> Any:
    """Return a Parquet file as a pyarrow Table of these columns, as far as it has them.

    Raises:
        PairError: it is no regular file, no Parquet, or its columns are of other types.
    """
    with open_regular(path, error=PairError) as file:
        try:
            table = parquet.read_table(in_arrow_memory(file), partitioning=None)
            kept = [entry for entry in schema if entry.name in table.column_names]
            columns = pa.schema(kept, metadata=table.schema.metadata)
            return table.select(columns.names).cast(columns)
        except (OSError, pa.ArrowException, ValueError) as error:
            got, cure = classify_file(path, str(error).splitlines()[0], remedy)
            raise PairError(
                f"expected a table of {', '.join(schema.names)} in {path}, got {got}: {cure}"
            ) from error


def write_table(path: Path, table: Any) -> None:
    """Write a pyarrow Table as Parquet: whole or not at all."""
    with replacing(path) as part:
        parquet.write_table(table, part)


def append(dataset: Path, stage: str, written: Sequence[Row]) -> Path:
    """Add rows to the manifest of a stage; returns the new part file."""
    rows = [
        asdict(row) | {"inputs": json.dumps(dict(row.inputs)), "facts": json.dumps(dict(row.facts))}
        for row in written
    ]
    name = f"part-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"
    path = stage_folder(dataset, stage) / name
    write_table(path, pa.Table.from_pylist(rows, schema=ROWS))
    return path


def rows(dataset: Path, stage: str) -> list[Row]:
    """Return the newest row of every key of a stage."""
    return list(Ledger(dataset, stage).refresh().values())


def stage_folder(dataset: Path, stage: str) -> Path:
    """Return the folder of a stage's part files."""
    return dataset / "manifest" / f"stage={stage}"


class Ledger:
    """The newest row of every key of a stage; `refresh` reads only what others have added."""

    def __init__(self, dataset: Path, stage: str) -> None:
        self.folder = stage_folder(dataset, stage)
        self.newest: dict[str, Row] = {}
        self._read: set[str] = set()

    def refresh(self) -> Mapping[str, Row]:
        """Return key -> newest row, as the disk has it now."""
        while not self._read_new():
            pass
        return self.newest

    def _read_new(self) -> bool:
        """Read new part files; False where one was compacted away since they were listed."""
        names = {path.name for path in self.folder.glob("part-*.parquet")}
        for name in sorted(names - self._read):
            path = self.folder / name
            remedy = "move the file away, and run the stage again for what it held"
            try:
                found = read_table(path, ROWS, remedy=remedy).to_pylist()
                read = [_row(values) for values in found]
            except (PairError, TypeError, ValueError) as error:
                if not path.exists():
                    return False
                if isinstance(error, PairError):
                    raise
                raise PairError(f"expected rows in {path}, got {error}: {remedy}") from error
            self._read.add(name)
            for row in read:
                older = self.newest.get(row.key)
                if older is None or older.written_s <= row.written_s:
                    self.newest[row.key] = row
        return True


def _row(values: dict[str, Any]) -> Row:
    """Return a row of a part file; ValueError where a value is none that a row can have."""
    row = Row(
        **values
        | {
            "inputs": decode(values["inputs"], dict[str, str]),
            "facts": decode(values["facts"], dict[str, Any]),
        }
    )
    if row.status not in (DONE, FAILED, QUARANTINED):
        raise ValueError(f"the status {row.status!r}")
    return row


def compact(dataset: Path, stage: str, *, least: int = 64) -> None:
    """Merge the part files of a stage where there are at least `least`.

    Several processes may do so at once: a row is always in one file or more.
    """
    old = list(stage_folder(dataset, stage).glob("part-*.parquet"))
    if len(old) < max(least, 2):
        return
    append(dataset, stage, rows(dataset, stage))
    for path in old:
        path.unlink(missing_ok=True)
