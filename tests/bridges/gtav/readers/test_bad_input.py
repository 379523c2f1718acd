"""What is damaged, foreign or short of facts is refused in one sentence that names it."""

import gzip
import json
import logging
import pickle
from fractions import Fraction

import cv2
import numpy as np
import pytest
import yaml
from game_samples import (
    padded,
    write_presil,
    write_sailvos,
    write_tiffs,
    write_viper,
    write_visionexport,
    write_vpilot,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realmaster_live.bridges.gtav.readers import find_drives, layout
from realmaster_live.bridges.gtav.readers.drive import ReadOptions
from realmaster_live.errors import PairError


def read(folder, **options):
    ((name, path),) = find_drives(folder)
    return list(layout(name).open_drive(path, ReadOptions(**options)).frames())


def pictures(width, height, count=3):
    rng = np.random.default_rng(width)
    return [rng.integers(0, 256, (height, width, 3), np.uint8) for _ in range(count)]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("size", [(320, 160), (321, 5)])
def test_vpilot(tmp_path, protocol, size):
    images = pictures(*size)
    path = write_vpilot(tmp_path / "dataset.pz", images, protocol=protocol)
    if protocol == 2:  # bytes are spelt by a function's name in it
        with pytest.raises(PairError, match=r"the class _codecs\.encode"):
            read(tmp_path, size=size)
        return
    frames = read(tmp_path, size=size)
    for frame, image in zip(frames, images, strict=True):
        np.testing.assert_array_equal(frame.image, image)
    reader = layout("vpilot").open_drive(path, ReadOptions(size=size))
    (last,) = reader.frames([2])
    np.testing.assert_array_equal(last.image, images[2])


def test_a_usual_size_is_found_by_its_length(tmp_path):
    write_vpilot(tmp_path / "a.pz", pictures(320, 160))
    assert read(tmp_path)[0].image.shape == (160, 320, 3)
    (tmp_path / "a.pz").unlink()
    write_vpilot(tmp_path / "odd.pz", pictures(321, 160))
    with pytest.raises(PairError, match="154240 bytes a frame, no usual size of that length: give"):
        read(tmp_path)
    with pytest.raises(PairError, match="expected 153600 bytes a frame for 320x160"):
        read(tmp_path, size=(320, 160))


def test_a_hint_counts_where_it_fits(tmp_path):
    path = write_vpilot(tmp_path / "a.pz", pictures(320, 160))
    assert read(tmp_path, size_hint=(512, 288))[0].image.shape == (160, 320, 3)
    assert read(tmp_path, size_hint=(160, 320))[0].image.shape == (320, 160, 3)
    path.unlink()
    write_vpilot(path, pictures(651, 419))
    assert read(tmp_path, size_hint=(651, 419))[0].image.shape == (419, 651, 3)


@pytest.mark.parametrize("cut", [1, 9, 4000, 200_000])
def test_a_data_set_that_was_cut_is_read_up_to_there(tmp_path, caplog, cut):
    images = pictures(320, 160, 6)
    path = write_vpilot(tmp_path / "dataset.pz", images)
    path.write_bytes(path.read_bytes()[:-cut])
    frames = read(tmp_path)
    assert 4 <= len(frames) <= 6
    for frame, image in zip(frames, images, strict=False):
        np.testing.assert_array_equal(frame.image, image)
    assert f"after {len(frames)} frames: the file is read up to there" in caplog.text


def test_a_data_set_that_is_broken_in_the_middle_is_read_up_to_there(tmp_path, caplog):
    images = pictures(320, 160, 6)
    path = write_vpilot(tmp_path / "dataset.pz", images)
    data = path.read_bytes()
    middle = data.rindex(b"\x1f\x8b", 0, len(data) * 2 // 3)  # where a frame begins
    for kept, message in ((middle, "ends in zeros"), (middle + 1000, "read up to there")):
        path.write_bytes(data[:kept].ljust(len(data), b"\0"))
        assert 1 <= len(read(tmp_path)) < 6
        assert message in caplog.text
    whole = b"".join(pickle.dumps({"frame": padded(image)}) for image in images[:2])
    path.write_bytes(gzip.compress(whole + pickle.dumps([1, 2])))
    assert len(read(tmp_path)) == 2


LAUGHS = "a: &a [1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join(['*' + old] * 9)}]\n"
    for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    "content",
    [
        (LAUGHS + "K: *j\nRt: *j\n").encode(),
        b"[" * 60_000,
        b"K: " + b"[" * 500 + b"]" * 500,
        b"K: \xff\xfe",
        b"\xff\xfeK\x00",
        b"K: 1" + b" " * 70_000,
        b"K: 2001-99-99",
        b"K: [" + b"9" * 5000 + b"]\nRt: 1",
        b"K: [[" + b"9" * 400 + b", 0, 0], [0, 1, 0], [0, 0, 1]]\nRt: [[1, 0, 0, 0]]",
        b"? [1]\n: 2",
        b"- 1",
        b"",
    ],
)
def test_a_hostile_camera_is_one_sentence(tmp_path, truths, content):
    folder = write_sailvos(tmp_path / "scene", truths[:1])
    (camera,) = folder.rglob("*.yaml")
    camera.write_bytes(content)
    with pytest.raises(PairError, match=r"^expected .*, got ") as caught:
        read(folder)
    assert camera.name in str(caught.value) and len(str(caught.value)) < 800


def test_arrays_that_claim_too_much_are_one_sentence(tmp_path, truths):
    folder = write_sailvos(tmp_path / "scene", truths[:1])
    (depth,), (matrices,) = folder.rglob("*.npy"), folder.rglob("*.npz")
    good = depth.read_bytes(), matrices.read_bytes()
    shape = str(np.load(depth).shape)
    claim = good[0].replace(shape.encode(), b"(1000000, 1000000)"[: len(shape)].ljust(len(shape)))
    for path, content in (
        (depth, claim),
        (depth, good[0].replace(shape.encode(), b"(999999,999)".ljust(len(shape)))),
        (depth, good[0][:40]),
        (depth, good[1]),
        (matrices, good[0]),
        (matrices, good[1][:-30]),
        (matrices, good[1].replace(b"P_inv", b"Q_inv")),
        (matrices, good[1].replace(b"(4, 4)", b"(9, 9)")),
    ):
        depth.write_bytes(good[0])
        matrices.write_bytes(good[1])
        path.write_bytes(content)
        with pytest.raises(PairError, match=r"^expected ") as caught:
            read(folder)
        assert path.name in str(caught.value)


def test_a_foreign_class_is_refused_by_name(tmp_path):
    path = write_vpilot(tmp_path / "dataset.pz", pictures(320, 160, 1))
    ran = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return ran.write_text, ("it ran",)

    for foreign, named in ((Evil(), "builtins.getattr|pathlib"), (Fraction(1, 2), "fractions.")):
        content = gzip.compress(pickle.dumps({"frame": b"", "evil": foreign}))
        path.write_bytes(content)
        with pytest.raises(PairError, match=f"the class ({named})"):
            read(tmp_path)
    assert not ran.exists()


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"not a gzip", "Not a gzipped file"),
        (gzip.compress(b""), "expected frames in"),
        (gzip.compress(pickle.dumps([1, 2])), "expected a dictionary a frame"),
        (gzip.compress(pickle.dumps({"speed": 1.0})), "got NoneType"),
        (gzip.compress(pickle.dumps({"frame": b"abc"}))[:-30], "expected a gzip of pickled frames"),
        (gzip.compress(b"\x80\x04\x8e" + (1 << 60).to_bytes(8, "little")), "more than 128 MiB"),
        (gzip.compress(b"\x80\x02}r\xff\xff\xff\xff."), "got NoneType"),  # a huge memo index
    ],
    ids=["no gzip", "empty", "list", "number", "cut", "huge", "memo"],  # a gzip holds the time
)
def test_a_damaged_data_set(tmp_path, content, got):
    (tmp_path / "dataset.pz").write_bytes(content)
    with pytest.raises(PairError, match=got):
        read(tmp_path)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.booleans())
def test_a_damaged_pickle_is_an_error_or_a_frame(tmp_path, place, byte, cut):
    whole = b"".join(
        pickle.dumps({"frame": padded(image), "peds": [{"FUR": [1.0, 2.0, 3.0]}], "time": 9})
        for image in pictures(5, 3, 2)
    )
    place %= len(whole)
    broken = whole[:place] if cut else whole[:place] + bytes([byte]) + whole[place + 1 :]
    (tmp_path / "dataset.pz").write_bytes(gzip.compress(broken, 1))
    try:
        frames = read(tmp_path, size=(5, 3))
    except PairError as error:
        assert "expected" in str(error)
    else:
        assert all(frame.image.shape == (3, 5, 3) for frame in frames)


def test_the_usual_near_plane_is_reported_once(tmp_path, truths, caplog):
    folder = write_presil(tmp_path / "object", truths)
    with caplog.at_level(logging.WARNING):
        usual = read(folder)
        read(folder)
        corrected = read(folder, near_m=0.3)
    warnings = [record.getMessage() for record in caplog.records]
    assert warnings == [
        f"the near plane of the depth of {folder} is not known: took the usual 0.15 m"
    ]
    near = truths[0].depth < 100  # where the far plane hardly counts
    ratio = corrected[0].labels["depth"][near] / usual[0].labels["depth"][near]
    np.testing.assert_allclose(ratio, 2, rtol=0.02)


def test_a_projection_states_the_near_plane(tmp_path, truths, caplog):
    read(write_tiffs(tmp_path / "a", truths[:2], one_file=True))
    assert not caplog.records
    read(write_tiffs(tmp_path / "b", truths[:2], one_file=True, camera=False))
    assert "took the usual 0.15 m" in caplog.text


def test_a_label_that_some_frames_lack_is_left_out_and_reported(tmp_path, truths, caplog):
    folder = write_presil(tmp_path / "object", truths)
    (folder / "stencil" / "000004.raw").unlink()
    frames = read(folder)
    assert all(set(frame.labels) == {"depth"} for frame in frames)
    assert "1 of 6 frames has no semantic (such as 000004.raw)" in caplog.text


def test_frames_without_a_camera_are_missing(tmp_path, truths):
    frames = read(write_sailvos(tmp_path / "scene", truths, without_camera=(2, 3)))
    assert [frame.frame_id for frame in frames] == [0, 1, 4, 5]
    assert [frame.dropped_before for frame in frames] == [0, 0, 2, 0]


def test_damaged_files_are_named(tmp_path, truths):
    short = truths[:3]

    def breaks(make, name, content, got):
        folder = make()
        (path,) = folder.rglob(name)
        path.write_bytes(content)
        with pytest.raises(PairError, match=got) as caught:
            read(folder)
        assert path.name in str(caught.value)

    def presil():
        return write_presil(tmp_path / "object", short)

    numbers = b"expected 21504 numbers of float32 .192x112. in .*, got 3"
    breaks(presil, "000001.bin", bytes(12), numbers.decode())
    breaks(presil, "000002.png", b"none", "expected a picture in")
    (tmp_path / "object" / "calib" / "000000.txt").write_text("P2: 1 2 x\n")
    presil()
    (tmp_path / "object" / "position_world" / "000001.txt").write_text("0 0 0\n" * 5)
    with pytest.raises(PairError, match="expected forward, right and up at right angles"):
        read(tmp_path / "object")
    presil()
    (tmp_path / "object" / "calib" / "000001.txt").write_text("P0: 1\n")
    with pytest.raises(PairError, match="expected a row P2"):
        read(tmp_path / "object")

    def vision():
        return write_visionexport(tmp_path / "vision", short)

    second = "2018-03-30--04-05-58--007"
    small = cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()
    breaks(vision, f"{second}.json", b"{", "expected a JSON object in")
    about = json.loads((vision() / f"{second}.json").read_text()) | {"view_matrix": [[1, 2]]}
    breaks(vision, f"{second}.json", json.dumps(about).encode(), "expected numbers of shape")
    about["view_matrix"] = np.ones((4, 4)).tolist()
    breaks(vision, f"{second}.json", json.dumps(about).encode(), "expected a view matrix that")
    breaks(vision, f"{second}-depth.png", small, "expected one channel of uint16")
    breaks(vision, f"{second}-stencil.png", small, "expected 192x112 pixels as its neighbours")

    def sail():
        return write_sailvos(tmp_path / "sail" / "scene", short)

    stem = f"{1:018d}"
    breaks(sail, f"{stem}.yaml", b"K: [1]", "expected K and Rt in .*got K")
    text = (sail() / "camera" / f"{stem}.yaml").read_text()
    without_lens = json.dumps(yaml.safe_load(text) | {"K": [[0, 0, 0]] * 3}).encode()
    breaks(sail, f"{stem}.yaml", without_lens, "expected focal lengths above 0")
    breaks(sail, f"{stem}.yaml", b"!!python/object:os.x {}", "expected a camera in YAML")
    breaks(sail, f"{stem}.npz", b"PK", "expected an array P_inv in")
    breaks(sail, f"{stem}.npy", b"PK", "expected an array in")

    def viper():
        return write_viper(tmp_path / "viper", short)

    coloured = cv2.imencode(".png", short[0].image)[1].tobytes()
    classes = viper() / "cls" / "001" / "001_00002.png"
    classes.write_bytes(coloured)
    with pytest.raises(PairError, match="expected an indexed or grey picture of class numbers"):
        read(tmp_path / "viper")
    breaks(viper, "001.csv", b"1,2,3\n", "expected numbers of shape")
    table = viper() / "camera" / "001.csv"
    rows = np.loadtxt(table, delimiter=",")
    rows[:, 17:] = rows[:, 17:].reshape(-1, 4, 4).swapaxes(1, 2).reshape(-1, 16)
    columns = "\n".join(",".join([f"{row[0]:.0f}", *map(str, row[1:])]) for row in rows)
    breaks(viper, "001.csv", columns.encode(), "expected a view matrix that .* row by row")
    viper()
    table.write_text("\n".join(table.read_text().splitlines()[:2]))
    with pytest.raises(PairError, match="got none of frame 3"):
        read(tmp_path / "viper")
    tiffs = write_tiffs(tmp_path / "tiffs", short, one_file=False)
    (tiffs / "shot1.tiff").write_bytes(b"none at all")
    with pytest.raises(PairError, match=r"expected a TIFF in .*shot1\.tiff"):
        read(tiffs)
