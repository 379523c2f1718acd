"""Footage from strangers: the right frames, or one sentence; no hang, no memory, no traceback."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from damage import as_json, cases, changed, wrong_json
from footage import write_film, write_pictures, write_recording
from street import SIZE

from realmaster_live.cli import main
from realmaster_live.errors import PairError, RealMasterError
from realmaster_live.recording import Recording
from realmaster_live.replay.footage import Reading
from realmaster_live.replay.kinds import find_footage, open_footage
from realmaster_live.replay.picture_files import list_pictures
from realmaster_live.replay.sidecar import read_sidecar

READING = Reading(fps=20)
ROW = [*np.eye(4).ravel()]


@pytest.fixture
def folder(tmp_path):
    return write_pictures(tmp_path / "pictures", [SIZE] * 4)


def play(path, reading=READING):
    (footage,) = find_footage(str(path), reading)
    return list(open_footage(footage, reading).frames())


def test_hidden_files_are_no_pictures(folder):
    for name in ("._frame0.png", ".hidden.png", ".DS_Store", "Thumbs.db", "desktop.ini"):
        (folder / name).write_bytes(b"\x00\x05\x16\x07")
    (folder / "folder.png").mkdir()
    (folder / "__MACOSX").mkdir()
    assert [path.name for path in list_pictures(folder)] == [f"frame{n}.png" for n in range(4)]
    assert len(play(folder)) == 4


def test_hidden_folders_are_no_recordings(tmp_path):
    for name in ("a", ".trash"):
        write_recording(tmp_path / "drives" / name, chunks=1, labels=())
    assert [each.name for each in find_footage(str(tmp_path / "drives"), Reading())] == ["a"]


def test_a_fifo_among_pictures_is_refused(folder):
    os.mkfifo(folder / "frame9.png")
    with pytest.raises(PairError, match=r"frame9\.png, got a FIFO"):
        play(folder)


@pytest.mark.parametrize("name", ["film.mp4", "about.json"])
def test_other_fifos_are_refused(name, folder, tmp_path):
    where = folder if name == "about.json" else tmp_path
    os.mkfifo(where / name)
    with pytest.raises(RealMasterError, match="expected"):
        play(where if name == "about.json" else where / name)


@pytest.mark.parametrize("name", ["K\udcf6ln", "2026-11-28T18:30:00", "a b\n"])
def test_any_name_of_a_folder_is_read(name, folder, tmp_path):
    odd = folder.rename(tmp_path / name)
    (odd / "about.json").write_text('{"fps": 20}')
    assert len(play(odd, Reading())) == 4


# pictures of every kind


def test_pictures_are_upright_and_rgb_whatever_their_kind(tmp_path):
    upright = np.zeros((64, 96, 3), np.uint8)
    upright[:, :48] = (250, 10, 10)
    upright[:32] //= 2
    grey = cv2.cvtColor(upright, cv2.COLOR_RGB2GRAY)
    bgr = upright[..., ::-1].copy()
    alpha = np.dstack((bgr, np.zeros((64, 96), np.uint8)))
    files = {
        "0.png": (bgr, upright),
        "1.png": (alpha, upright),  # colours as stored: simulators leave alpha at 0
        "2.png": (bgr.astype(np.uint16) * 257, upright),
        "3.png": (grey, np.dstack([grey] * 3)),
        "4.png": (grey.astype(np.uint16) * 257, np.dstack([grey] * 3)),
    }
    for name, (stored, _) in files.items():
        cv2.imwrite(str(tmp_path / name), stored)
    turned = cv2.imencode(".jpg", np.rot90(bgr).copy(), [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    entry = b"\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"  # orientation 6: turn it right
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0"
    app1 = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "5.jpg").write_bytes(turned[:2] + app1 + turned[2:])
    frames = play(tmp_path)
    for frame, (_, expected) in zip(frames, [*files.values(), (None, upright)], strict=True):
        assert frame.image.shape == expected.shape
        assert np.abs(frame.image.astype(int) - expected).mean() < 3


# sidecars

BAD = [
    ("fps", [0, -1, "20", True, [], 1e308, 10**400, float("nan"), float("inf")]),
    ("fov_deg", [0, 180, 1e9, "80", float("nan"), [80]]),
    ("seed", ["1", 1.5, 10**400]),
    ("town", [5, [], {}]),
    ("weather", [{}, 3]),
    ("prompt", [["rain"]]),
    (
        "cam_to_world",
        [
            "x",
            {},
            [None] * 64,
            ROW * 3,
            [float("nan")] * 64,
            [0] * 64,
            [["a"]],
            [2 * each for each in ROW] * 4,
            [ROW, ROW, [1, 0, -1e308, *ROW[3:]], ROW],
        ],
    ),
    ("size", ["x", [1], [0, 2], [1e400, 3]]),
    ("cameras", [{"front": {"width": 5}}, 3]),
    ("other", [10**400, float("nan"), "\ud800", [[float("inf")]]]),
]


@pytest.mark.parametrize(("key", "values"), BAD, ids=[key for key, _ in BAD])
def test_a_wrong_fact_is_named(key, values, folder, tmp_path, capsys):
    for value in values:
        (folder / "about.json").write_text(json.dumps({"fps": 20, key: value}))
        with pytest.raises(PairError, match=key) as caught:
            play(folder, Reading())
        assert "mend it" in str(caught.value)
    out = ["--out", str(tmp_path / "o"), "--engine", "identity", "--quiet"]
    assert main(["replay", str(folder), *out]) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_a_fact_of_any_name_is_named_in_one_line(folder):
    (folder / "about.json").write_text(json.dumps({"fps": 20, "a\nb": 10**400}))
    with pytest.raises(PairError, match=r"for 'a\\nb' of") as caught:
        play(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"3", b"{", b"\xff", b'{"a":' * 100_000, b'{"a": 1' + b"0" * 9000 + b"}"],
)
def test_a_sidecar_that_is_no_object_is_refused(content, folder):
    (folder / "about.json").write_bytes(content)
    with pytest.raises(PairError, match=r"expected .*about\.json|mend its JSON, .*about\.json"):
        play(folder)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_sidecars_may_have_a_byte_order_mark(encoding, folder, tmp_path):
    facts = json.dumps({"fps": 12, "town": "Köln", "route": None}, ensure_ascii=False)
    (folder / "about.json").write_text(facts, encoding)
    assert read_sidecar(folder) == {"fps": 12, "town": "Köln"}
    film = write_film(tmp_path / "film.mp4", frames=4)
    film.with_suffix(".json").write_text(facts, encoding)
    assert read_sidecar(film)["town"] == "Köln"


def test_poses_are_read_flat_or_nested(folder):
    for poses in (ROW * 4, [ROW] * 4, [np.eye(4).tolist()] * 4):
        (folder / "about.json").write_text(json.dumps({"cam_to_world": poses}))
        assert np.array_equal(play(folder)[3].cam_to_world, np.eye(4))


# labels


def npy(shape, dtype="<f4", data=b""):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (117 - len(header)) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


DEPTHS = {
    "claims": npy((10**6, 10**6)),
    "cut": npy((64, 96))[:60],
    "short": npy((64, 96), data=bytes(64)),
    "zip": b"PK\x03\x04" + bytes(60),
    "pickle": npy((64, 96), "|O", bytes(64 * 96 * 8)),
    "deep": npy("(" * 500 + ")" * 500),
    "nan": npy((64, 96), data=np.full((64, 96), np.nan, "<f4").tobytes()),
    "turned": npy((96, 64), data=bytes(64 * 96 * 4)),
    "complex": npy((64, 96), "<c8", bytes(64 * 96 * 8)),
    "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "empty": b"",
}


@pytest.mark.parametrize("name", DEPTHS)
def test_a_label_that_is_no_such_array_is_refused(name, folder):
    (folder / "depth").mkdir()
    for index in range(4):
        np.save(folder / "depth" / f"frame{index}.npy", np.ones((64, 96), np.float32))
    assert play(folder)[0].labels["depth"].mean() == 1
    (folder / "depth" / "frame2.npy").write_bytes(DEPTHS[name])
    with pytest.raises(PairError, match=r"frame2\.npy, got"):
        play(folder)


@pytest.mark.parametrize("label", ["instance", "depth", "semantic", "flow"])
@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_a_pointer_in_place_of_a_label_is_named(label, suffix, folder):
    (folder / label).mkdir(exist_ok=True)
    for picture in folder.glob("*.png"):
        place = (folder / label / picture.name).with_suffix(suffix)
        place.write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 4\n")
    with pytest.raises(PairError, match="a Git LFS pointer: run git lfs pull"):
        play(folder)


@pytest.mark.parametrize(
    ("made", "got"),
    [(os.mkfifo, "a FIFO"), (lambda path: path.symlink_to(path), "a link to nothing")],
)
def test_a_film_that_is_no_file_is_named_by_its_kind(made, got, tmp_path):
    made(tmp_path / "film.mp4")
    with pytest.raises(RealMasterError, match=f"got {got}: name another"):
        find_footage(str(tmp_path / "film.mp4"), Reading())


def test_class_numbers_have_to_fit(folder):
    (folder / "semantic").mkdir()
    for index in range(4):
        np.save(folder / "semantic" / f"frame{index}.npy", np.full((64, 96), 300))
    with pytest.raises(PairError, match="got values from 300 to 300"):
        play(folder)


@pytest.mark.parametrize("place", ["/proc/realized", "film.mp4/realized"])
def test_a_place_that_cannot_be_written_ends_in_one_sentence(place, folder, tmp_path, capsys):
    film = write_film(tmp_path / "film.mp4", frames=4)
    flags = ["--fps", "20", "--engine", "identity", "--quiet", "--out", str(tmp_path / place)]
    for inputs in ([film], [film, folder]):
        assert main(["replay", *map(str, inputs), *flags]) in (1, 2)
        text = capsys.readouterr().err
        assert "expected a place that can be written" in text
        assert "Traceback" not in text


# any folder


def is_refused(path):
    """Play footage; return whether it was refused, in one sentence."""
    try:
        for frame in play(path):
            assert frame.image.ndim == 3
    except RealMasterError as error:
        assert "expected" in str(error)
        assert "\n" not in str(error)
        return True
    return False


@pytest.fixture
def play_odd(folder, tmp_path):
    """The function that plays changed footage, and returns whether it was refused."""
    (folder / "depth").mkdir()
    for index in range(4):
        np.save(folder / "depth" / f"frame{index}.npy", np.ones((64, 96), np.float32))
    film = write_film(tmp_path / "film.mp4", frames=8)
    inputs = [folder / "frame1.png", folder / "depth" / "frame1.npy", film]
    whole = {path: path.read_bytes() for path in inputs}
    facts = as_json({"fps": 20, "fov_deg": 80, "town": "a", "seed": 1, "cam_to_world": [ROW] * 4})

    def check(rng):
        path = rng.choice(inputs)
        if rng.randrange(2):
            path.write_bytes(changed(rng, whole[path], list(whole.values())))
        about = wrong_json(rng, facts) if rng.randrange(3) else facts
        (folder / "about.json").write_bytes(about)
        refused = is_refused(path if path == film else folder)
        path.write_bytes(whole[path])
        return refused

    return check


@cases(few=60, many=2_000)
def test_any_folder_or_film(fuzz, play_odd):
    fuzz("footage", play_odd)


def test_a_film_in_a_folder_of_other_bytes_becomes_a_recording_there(tmp_path):
    odd = tmp_path / "K\udcf6ln"
    odd.mkdir()
    film = write_film(odd / "film.mp4", frames=8)
    flags = ["--engine", "identity", "--quiet", "--out", str(odd / "rec")]
    assert main(["replay", str(film), *flags]) == 0
    with Recording(Path(odd / "rec")) as recording:
        assert len(recording) == 8
