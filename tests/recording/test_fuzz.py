"""Any file of a recording with anything in it: one sentence, no hang, nothing lost.

`make test` runs some cases of each, `make test-slow` the figures of docs/reliability.md.
"""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from random import Random

import pyarrow
import pyarrow.parquet
import pytest
from damage import cases, changed, wrong_json
from sensor_states import with_states
from street import make_chunk

from realmaster_live import ChunkSpec
from realmaster_live.errors import RealMasterError, RecordingError
from realmaster_live.recording import Recorder, Recording, repair, verify
from realmaster_live.recording.about import Meta
from realmaster_live.recording.aside import read_notes
from realmaster_live.recording.calibration import read_calibration
from realmaster_live.recording.labels import count_labels, read_label
from realmaster_live.recording.segment import SegmentInfo
from realmaster_live.recording.streams import decodable
from realmaster_live.recording.sweeps import SweepFile, count_sweeps
from realmaster_live.recording.tables import ALL_SCHEMAS, read_table

SPEC = ChunkSpec(frames=4, height=32, width=48, fps=20)
SEGMENT = "segments/000000"


def recorded(folder: Path, *, killed: bool) -> Path:
    with Recorder(folder, SPEC) as drive:
        for index in range(2):
            drive.write(with_states(make_chunk(index, size=(48, 32))))
        if killed:
            drive._segment.close_files()
            shutil.copytree(folder, folder.parent / f"{folder.name}-killed")
    return folder.parent / f"{folder.name}-killed" if killed else folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("fuzz") / "drive", killed=False)


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    return recorded(tmp_path_factory.mktemp("fuzz") / "drive", killed=True)


def odd_table(rng: Random, table: pyarrow.Table) -> pyarrow.Table:
    """A table with a column of odd values, of another type, or without it."""
    place = rng.randrange(table.num_columns)
    field = table.schema.field(place)
    kind = rng.choice(["nulls", "text", "big", "gone", "twice", "rows"])
    if kind == "nulls":
        return table.set_column(place, field, pyarrow.nulls(len(table), field.type))
    if kind == "text":
        return table.set_column(place, field.name, pyarrow.array(["\u0000x"] * len(table)))
    if kind == "big":
        number = rng.choice([-1, 2**31 - 1, 10**9, 2**63 - 1])
        return table.set_column(place, field.name, pyarrow.array([number] * len(table)))
    if kind == "gone":
        return table.remove_column(place)
    if kind == "twice":
        return table.append_column(field, table[place])
    rows = rng.choices(range(len(table)), k=rng.randrange(13)) if len(table) else []
    return table.take(pyarrow.array(rows, pyarrow.int64()))


def names_of(folder: Path) -> set[str]:
    """Return the names of the files of a recording, journals by those of their tables."""
    ended = {".arrows": ".parquet"}
    return {
        f"{path.parent.name}/{path.stem}{ended.get(path.suffix, path.suffix)}"
        for path in folder.rglob("*")
        if path.is_file() or path.is_symlink()
    }


def pictures_of(folder: Path) -> dict[str, int]:
    """Return the most pictures that any file of a name holds."""
    found: dict[str, int] = {}
    for path in [*folder.rglob("*.mp4"), *folder.rglob("*.arrow")]:
        found[path.name] = max(found.get(path.name, 0), decodable(path).pictures)
    return found


def use_everything(folder: Path) -> bool:
    """Read, verify, repair and read again; only errors of ours, each a sentence.

    Returns:
        whether one of these was refused.
    """
    outside = folder.parent / "outside"
    outside.write_bytes(b"theirs")
    before, names = pictures_of(folder), names_of(folder)
    damaged = {sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.json")}
    refused = [is_refused(act, folder) for act in (play, check, repair, play, check)]
    after = pictures_of(folder)
    assert all(after.get(name, 0) >= count for name, count in before.items())
    assert {name for name in names if not name.endswith(".lock")} <= names_of(folder)
    assert damaged & {sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.json")}
    assert outside.read_bytes() == b"theirs"
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, "outside"}
    return any(refused)


def is_refused(act: Callable[..., object], *args: object) -> bool:
    """Whether an act is refused, in one sentence."""
    try:
        act(*args)
    except RealMasterError as error:
        assert "expected" in str(error)
        assert "\n" not in str(error)
        return True
    return False


def play(folder: Path) -> None:
    recording = Recording(folder, verify=False)
    for camera in recording.cameras:
        for sample in recording.samples(camera, damaged="skip"):
            assert sample.frame.image.shape == (32, 48, 3)
    _ = recording.calibration
    assert len(recording) >= 0
    for frame in Recording(folder, verify=False).frames():
        assert frame.ego is None or all(len(one) >= 0 for one in frame.ego.sweeps.values())
    for name in recording.sensor_counts:
        assert list(recording.sensors(name)) is not None


def check(folder: Path) -> None:
    assert verify(folder, decode=True).lines()
    assert read_notes(folder) is not None


SWEEPS = ["lidar.arrow", "radar.arrow"]
STREAMS = ["sim.mp4", "real.mp4", "depth.arrow", "semantic.arrow", "flow.arrow"]
FILES = {
    "whole": [
        "meta.json",
        "calib.json",
        f"{SEGMENT}/segment.json",
        *(f"{SEGMENT}/{name}.parquet" for name in ALL_SCHEMAS),
        *(f"{SEGMENT}/{name}" for name in SWEEPS),
        *(f"{SEGMENT}/front/{name}" for name in STREAMS),
    ],
    "killed": [
        "meta.json",
        *(f"{SEGMENT}/{name}.arrows" for name in ("frames", "objects", "ego", "events")),
        *(f"{SEGMENT}/{name}" for name in SWEEPS),
        *(f"{SEGMENT}/front/{name}" for name in STREAMS),
    ],
}


def odd_bytes(rng: Random, file: str, content: bytes, others: Sequence[bytes]) -> bytes:
    """Another content of a file."""
    if file.endswith(".json") and rng.randrange(2):
        return wrong_json(rng, content)
    if file.endswith(".parquet") and rng.randrange(2):
        sink = pyarrow.BufferOutputStream()
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(content))
        pyarrow.parquet.write_table(odd_table(rng, table), sink)
        return sink.getvalue().to_pybytes()
    return changed(rng, content, others)


def use_with_odd_bytes(rng: Random, source: Path, files: Sequence[str]) -> bool:
    """Use everything of a copy of a recording in which one file is another."""
    file = rng.choice(files)
    others = [(source / other).read_bytes() for other in files]
    with tempfile.TemporaryDirectory() as room:
        folder = shutil.copytree(source, Path(room) / "drive")
        (folder / file).write_bytes(odd_bytes(rng, file, (source / file).read_bytes(), others))
        return use_everything(folder)


@cases(few=12, many=150)
@pytest.mark.parametrize("kind", ["whole", "killed"])
def test_a_damaged_file_in_a_recording(fuzz, kind, whole, killed):
    source = whole if kind == "whole" else killed
    fuzz(f"{kind} recordings", lambda rng: use_with_odd_bytes(rng, source, FILES[kind]))


def read_parts(folder: Path, file: str) -> None:
    """Read one file by what reads it alone; RecordingError where a part of it cannot be read."""
    path = folder / file
    if file == "meta.json":
        Meta.read(folder)
    elif file == "calib.json":
        read_calibration(folder)
    elif file == "segment.json":
        SegmentInfo.read(folder)
    elif file in SWEEPS:
        assert count_sweeps(path).pictures >= 0
        assert all(one.points.shape == (len(one), 3) for one in SweepFile(path))
    elif path.suffix == ".arrow":
        assert count_labels(path).pictures >= 0
        for label in read_label(path, path.stem):
            assert label.ndim >= 2
    elif path.suffix == ".mp4":
        film = decodable(path)
        if film.pictures < 8:
            raise RecordingError(f"expected 8 pictures, got {film.pictures}: {film.problem}")
    else:
        read_table(folder, path.stem)


PARTS = ["meta.json", "calib.json", "segment.json", "frames.parquet", "objects.parquet"]
PARTS += ["frames.arrows", "sim.mp4", "depth.arrow", "instance.arrow"]
PARTS += ["ego.parquet", "events.parquet", "lidar.arrow"]


def bytes_of(file: str, whole: Path, killed: Path) -> bytes:
    base = killed if file.endswith(".arrows") else whole
    return next(path for path in sorted(base.rglob(file))).read_bytes()


@pytest.fixture
def read_odd_bytes(whole, killed, tmp_path):
    """The function that reads a file with other bytes, and returns whether it was refused."""
    contents = {file: bytes_of(file, whole, killed) for file in PARTS}

    def read(rng: Random, file: str) -> bool:
        content = odd_bytes(rng, file, contents[file], list(contents.values()))
        (tmp_path / file).write_bytes(content)
        return is_refused(read_parts, tmp_path, file)

    return read


@cases(few=40, many=3_000)
@pytest.mark.parametrize("file", PARTS)
def test_a_damaged_file(fuzz, file, read_odd_bytes):
    fuzz(file, lambda rng: read_odd_bytes(rng, file))


@pytest.mark.parametrize("depth", [900, 100_000])
def test_values_nested_deep_end_in_one_sentence(depth, whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "drive")
    deep = '{"format": ' + "[" * depth + "]" * depth + "}"
    for file in ("meta.json", f"{SEGMENT}/segment.json", "calib.json"):
        (folder / file).write_text(deep)
        with pytest.raises(RealMasterError):
            read_parts((folder / file).parent, Path(file).name)
            raise RealMasterError("calib.json with nothing of a camera is read as such")
