"""Any file of a recording with anything in it: one sentence, no hang, nothing lost.

`make test` runs some hundred cases of each, `make test-all` (soak) the figures of
docs/reliability.md.
"""

import copy
import json
import shutil
import tempfile
from hashlib import sha256
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from street import make_chunk

from realmaster_live import ChunkSpec
from realmaster_live.errors import RealMasterError
from realmaster_live.recording import Recorder, Recording, repair, verify
from realmaster_live.recording.about import Meta
from realmaster_live.recording.aside import read_notes
from realmaster_live.recording.calibration import read_calibration
from realmaster_live.recording.labels import count_labels, read_label
from realmaster_live.recording.segment import SegmentInfo
from realmaster_live.recording.streams import decodable
from realmaster_live.recording.tables import SCHEMAS, read_table

SPEC = ChunkSpec(frames=4, height=32, width=48, fps=20)
SEGMENT = "segments/000000"
SLOW = pytest.mark.soak
QUICK = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([-1, 0, 2**31 - 1, 2**63, 10**400, float("inf"), float("nan"), -1e308]),
    st.sampled_from(["", "..", "../../etc/passwd", "/dev/zero", "a\0b", "\ud800", "x" * 5000]),
    st.sampled_from([[], {}, [[]], [{}], {"": None}]),
    st.integers(),
    st.text(max_size=8),
)


def recorded(folder: Path, *, killed: bool) -> Path:
    with Recorder(folder, SPEC) as drive:
        for index in range(2):
            drive.write(make_chunk(index, size=(48, 32)))
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


@st.composite
def changed(draw, content: bytes, others: tuple[bytes, ...] = (b"",)) -> bytes:
    """Bytes after one to four of: bits flipped, an end cut, a piece replaced, another file."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["flip", "flip", "flip", "cut", "put", "swap", "noise"]))
        place = draw(st.integers(0, max(0, len(data) - 1)))
        if kind == "flip" and data:
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "cut":
            del data[place:]
        elif kind == "put":
            piece = draw(st.binary(max_size=16))
            data[place : place + len(piece)] = piece
        elif kind == "swap":
            data = bytearray(draw(st.sampled_from(others)))
        elif kind == "noise":
            data[place : place + 8] = b"\xff" * 8
    return bytes(data)


@st.composite
def wrong(draw, content: dict) -> bytes:
    """A JSON object with one to three values replaced by odd ones, or keys taken away."""
    tree = json.loads(json.dumps(content))
    for _ in range(draw(st.integers(1, 3))):
        at = tree
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            deeper = at[key]
            if isinstance(deeper, dict | list) and deeper and draw(st.integers(0, 4)):
                at = deeper
                continue
            if isinstance(at, dict) and draw(st.integers(0, 5)) == 0:
                at[draw(st.text(max_size=12))] = at.pop(key)
            else:
                at[key] = copy.deepcopy(draw(ODD))  # it may be changed in its place
            break
    return json.dumps(tree).encode("utf-8", "surrogatepass")


@st.composite
def odd_table(draw, table: pyarrow.Table) -> pyarrow.Table:
    """A table with a column of odd values, of another type, or without it."""
    place = draw(st.integers(0, table.num_columns - 1))
    field = table.schema.field(place)
    kind = draw(st.sampled_from(["nulls", "text", "big", "gone", "twice", "rows"]))
    if kind == "nulls":
        return table.set_column(place, field, pyarrow.nulls(len(table), field.type))
    if kind == "text":
        return table.set_column(place, field.name, pyarrow.array(["\u0000x"] * len(table)))
    if kind == "big":
        number = draw(st.sampled_from([-1, 2**31 - 1, 10**9, 2**63 - 1]))
        return table.set_column(place, field.name, pyarrow.array([number] * len(table)))
    if kind == "gone":
        return table.remove_column(place)
    if kind == "twice":
        return table.append_column(field, table[place])
    rows = draw(st.lists(st.integers(0, len(table) - 1), max_size=12)) if len(table) else []
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


def use_everything(folder: Path) -> None:
    """Read, verify, repair and read again; only errors of ours, each a sentence."""
    outside = folder.parent / "outside"
    outside.write_bytes(b"theirs")
    before, names = pictures_of(folder), names_of(folder)
    damaged = {sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.json")}
    for act in (play, check, repair, play, check):
        try:
            act(folder)
        except RealMasterError as error:
            assert "expected" in str(error)
            assert "\n" not in str(error)
    after = pictures_of(folder)
    assert all(after.get(name, 0) >= count for name, count in before.items())
    assert {name for name in names if not name.endswith(".lock")} <= names_of(folder)
    assert damaged & {sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.json")}
    assert outside.read_bytes() == b"theirs"
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, "outside"}


def play(folder: Path) -> None:
    recording = Recording(folder, verify=False)
    for camera in recording.cameras:
        for sample in recording.samples(camera, damaged="skip"):
            assert sample.frame.image.shape == (32, 48, 3)
    _ = recording.calibration
    assert len(recording) >= 0
    for _ in Recording(folder, verify=False).frames():
        pass


def check(folder: Path) -> None:
    assert verify(folder, decode=True).lines()
    assert read_notes(folder) is not None


def in_a_copy(source: Path, file: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as room:
        folder = shutil.copytree(source, Path(room) / "drive")
        (folder / file).write_bytes(content)
        use_everything(folder)


STREAMS = ["sim.mp4", "real.mp4", "depth.arrow", "semantic.arrow", "flow.arrow"]
FILES = {
    "whole": [
        "meta.json",
        "calib.json",
        f"{SEGMENT}/segment.json",
        *(f"{SEGMENT}/{name}.parquet" for name in SCHEMAS),
        *(f"{SEGMENT}/front/{name}" for name in STREAMS),
    ],
    "killed": [
        "meta.json",
        *(f"{SEGMENT}/{name}.arrows" for name in ("frames", "objects")),
        *(f"{SEGMENT}/front/{name}" for name in STREAMS),
    ],
}


def fuzz_a_recording(source: Path, files: list[str], cases: int, derandomize: bool) -> None:
    others = tuple((source / file).read_bytes() for file in files)

    @settings(QUICK, max_examples=cases, derandomize=derandomize)
    @given(st.data())
    def run(data):
        file = data.draw(st.sampled_from(files))
        content = (source / file).read_bytes()
        if file.endswith(".json") and data.draw(st.booleans()):
            in_a_copy(source, file, data.draw(wrong(json.loads(content))))
        elif file.endswith(".parquet") and data.draw(st.booleans()):
            table = data.draw(odd_table(pyarrow.parquet.read_table(source / file)))
            sink = pyarrow.BufferOutputStream()
            pyarrow.parquet.write_table(table, sink)
            in_a_copy(source, file, sink.getvalue().to_pybytes())
        else:
            in_a_copy(source, file, data.draw(changed(content, others)))

    run()


@pytest.mark.parametrize("kind", ["whole", "killed"])
def test_a_damaged_file_in_a_recording(kind, whole, killed):
    fuzz_a_recording(whole if kind == "whole" else killed, FILES[kind], 12, True)


@SLOW
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["whole", "killed"])
def test_many_damaged_files_in_a_recording(kind, whole, killed):
    fuzz_a_recording(whole if kind == "whole" else killed, FILES[kind], 500, False)


def read_parts(folder: Path, file: str) -> None:
    """Read one file by what reads it alone."""
    path = folder / file
    if file == "meta.json":
        Meta.read(folder)
    elif file == "calib.json":
        read_calibration(folder)
    elif file == "segment.json":
        SegmentInfo.read(folder)
    elif path.suffix == ".arrow":
        assert count_labels(path).pictures >= 0
        for label in read_label(path, path.stem):
            assert label.ndim >= 2
    elif path.suffix == ".mp4":
        assert decodable(path).pictures >= 0
    else:
        read_table(folder, path.stem)


PARTS = ["meta.json", "calib.json", "segment.json", "frames.parquet", "objects.parquet"]
PARTS += ["frames.arrows", "sim.mp4", "depth.arrow", "instance.arrow"]


def fuzz_a_reader(file: str, content: bytes, room: Path, cases: int, derandomize: bool) -> None:
    @settings(QUICK, max_examples=cases, derandomize=derandomize)
    @given(st.data())
    def run(data):
        odd = file.endswith(".json") and data.draw(st.booleans())
        bad = data.draw(wrong(json.loads(content)) if odd else changed(content))
        (room / file).write_bytes(bad)
        try:
            read_parts(room, file)
        except RealMasterError as error:
            assert "expected" in str(error)
            assert "\n" not in str(error)

    run()


def bytes_of(file: str, whole: Path, killed: Path) -> bytes:
    base = killed if file.endswith(".arrows") else whole
    return next(path for path in sorted(base.rglob(file))).read_bytes()


@pytest.mark.parametrize("file", PARTS)
def test_a_damaged_file(file, whole, killed, tmp_path):
    fuzz_a_reader(file, bytes_of(file, whole, killed), tmp_path, 40, True)


@SLOW
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("file", PARTS)
def test_many_damaged_files(file, whole, killed, tmp_path):
    fuzz_a_reader(file, bytes_of(file, whole, killed), tmp_path, 5_000, False)


@pytest.mark.parametrize("depth", [900, 100_000])
def test_values_nested_deep_end_in_one_sentence(depth, whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "drive")
    deep = '{"format": ' + "[" * depth + "]" * depth + "}"
    for file in ("meta.json", f"{SEGMENT}/segment.json", "calib.json"):
        (folder / file).write_text(deep)
        with pytest.raises(RealMasterError):
            read_parts((folder / file).parent, Path(file).name)
            raise RealMasterError("calib.json with nothing of a camera is read as such")
