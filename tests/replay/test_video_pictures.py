"""Pictures of films are upright and in square pixels; what lies in their place is named."""

from fractions import Fraction

import av
import numpy as np
import pytest

from realmaster_live.cli import main
from realmaster_live.errors import PairError
from realmaster_live.recording import Recording
from realmaster_live.replay.footage import Reading
from realmaster_live.replay.kinds import find_footage, open_footage
from realmaster_live.replay.video_files import describe, pictures
from realmaster_live.replay.video_shape import Orientation, first_field

WIDE = np.full((64, 96, 3), 128, np.uint8)
WIDE[:, :24] = (220, 20, 20)  # red at the left
WIDE[:16] = (20, 20, 220)  # blue at the top


def film_of(
    path, images, *, codec="libx264", pix_fmt="yuv444p", aspect=None, matrix=None, tags=None
):
    """Write pictures; tags: primaries, transfer, matrix."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=20, options={"qp": "0"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pix_fmt
        coded = stream.codec_context
        if aspect:
            coded.sample_aspect_ratio = aspect
        if matrix is not None:
            set_matrix(stream, matrix)
        if tags:
            coded.color_primaries, coded.color_trc, coded.colorspace = tags
        for image in images:
            frame = image
            if not isinstance(image, av.VideoFrame):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame = frame.reformat(format=pix_fmt, dst_colorspace="ITU601")
            if tags:
                frame.colorspace = tags[2]
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def set_matrix(stream, matrix):
    if isinstance(matrix, int):
        stream.set_display_rotation(matrix)
    else:
        a, b, c, d = (int(each * 65536) for each in matrix)
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])


SHOWN = {
    "0": ((1, 0, 0, 1), WIDE),
    "90": ((0, 1, -1, 0), np.rot90(WIDE, -1)),
    "180": ((-1, 0, 0, -1), np.rot90(WIDE, 2)),
    "270": ((0, -1, 1, 0), np.rot90(WIDE)),
    "mirrored": ((-1, 0, 0, 1), WIDE[:, ::-1]),
    "upside-down": ((1, 0, 0, -1), WIDE[::-1]),
    "transposed": ((0, 1, 1, 0), WIDE.swapaxes(0, 1)),
    "transverse": ((0, -1, -1, 0), WIDE[::-1, ::-1].swapaxes(0, 1)),
    "scaled": ((0, 2, -2, 0), np.rot90(WIDE, -1)),
    "empty": ((0, 0, 0, 0), WIDE),
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_film_is_shown_upright(name, tmp_path):
    matrix, upright = SHOWN[name]
    path = film_of(tmp_path / "phone.mp4", [WIDE] * 4, matrix=matrix)
    facts = describe(path)
    assert (facts.height, facts.width) == upright.shape[:2]
    for picture in pictures(path):
        assert np.abs(picture.astype(int) - upright).mean() < 2
    (film,) = find_footage(str(path), Reading())
    assert film.cameras == {"front": (facts.width, facts.height)}
    frame = next(iter(open_footage(film, Reading()).frames()))
    assert frame.image.shape == upright.shape
    assert tuple(frame.intrinsics[:2, 2]) == (facts.width / 2, facts.height / 2)


def test_a_film_that_is_turned_by_other_than_quarter_turns_is_refused(tmp_path):
    path = film_of(tmp_path / "tilted.mp4", [WIDE], matrix=(0.7, 0.7, -0.7, 0.7))
    with pytest.raises(PairError, match="got a display matrix"):
        describe(path)


def test_a_rotated_film_becomes_an_upright_recording(tmp_path):
    path = film_of(tmp_path / "phone.mp4", [WIDE] * 8, matrix=SHOWN["90"][0])
    out = tmp_path / "out"
    assert main(["replay", str(path), "--engine", "identity", "--out", str(out), "--quiet"]) == 0
    with Recording(out) as recording:
        assert next(iter(recording.frames())).image.shape == (96, 64, 3)


@pytest.mark.parametrize(
    ("aspect", "size"), [(Fraction(16, 11), (140, 64)), (Fraction(1, 2), (48, 64))]
)
def test_pixels_become_square(aspect, size, tmp_path):
    path = film_of(tmp_path / "film.mkv", [WIDE] * 2, aspect=aspect)
    facts = describe(path)
    assert (facts.width, facts.height) == size
    (first, _) = pictures(path)
    assert first.shape == (size[1], size[0], 3)
    edge = np.flatnonzero(np.diff(first[40, :, 0].astype(int)) < -40)
    assert edge[0] == pytest.approx(24 * float(aspect), abs=2)


def test_the_fields_of_interlaced_frames_are_not_mixed(tmp_path):
    early, late = np.full((64, 96, 3), 60, np.uint8), np.full((64, 96, 3), 60, np.uint8)
    early[:, 10:30], late[:, 50:70] = 220, 220
    mixed = early.copy()
    mixed[1::2] = late[1::2]
    options = {"flags": "+ildct+ilme"}
    path = tmp_path / "interlaced.mkv"
    with av.open(path, "w") as container:
        stream = container.add_stream(
            "libx264", rate=25, options={"qp": "0", "x264-params": "tff=1"}
        )
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv444p"
        stream.codec_context.options |= options
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(mixed, format="rgb24").reformat(format="yuv444p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for picture in pictures(path):
        assert np.abs(picture.astype(int) - early).mean() < 3


@pytest.mark.parametrize("height", [2, 3, 8, 9])
def test_a_field_is_filled_up_by_its_neighbours(height):
    ramp = np.repeat(np.arange(height, dtype=np.uint8)[:, None, None] * 10, 3, axis=2)
    found = first_field(ramp)
    np.testing.assert_array_equal(found[::2], ramp[::2])
    np.testing.assert_array_equal(found[1:-1:2], ramp[1:-1:2])


def test_a_film_whose_frames_change_their_size_ends_in_one_sentence(tmp_path):
    parts = [tmp_path / f"{height}.mkv" for height in (64, 32)]
    for part, height in zip(parts, (64, 32), strict=True):
        film_of(part, [WIDE[:height]] * 3, codec="mjpeg", pix_fmt="yuvj444p")
    with av.open(tmp_path / "film.mkv", "w") as container, av.open(parts[0]) as first:
        stream = container.add_stream_from_template(first.streams.video[0])
        for number, part in enumerate(parts):
            with av.open(part) as old:
                for packet in old.demux(video=0):
                    if packet.size:
                        packet.pts = packet.dts = packet.pts + 150 * number
                        packet.stream = stream
                        container.mux(packet)
    with pytest.raises(PairError, match="got one of 96x32: cut the film where its size changes"):
        list(pictures(tmp_path / "film.mkv"))


def boxes(data):
    """Yield name and bytes of each box of an MP4."""
    while data:
        size = int.from_bytes(data[:4], "big")
        yield data[4:8], data[:size]
        data = data[size:]


def test_a_cover_in_front_of_a_film_is_no_film(tmp_path):
    film, path = film_of(tmp_path / "film.mp4", [WIDE] * 4), tmp_path / "covered.mp4"
    with av.open(path, "w") as container, av.open(film) as old:
        stream = container.add_stream_from_template(old.streams.video[0])
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 16, 16, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        image = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        container.mux(cover.encode(image))
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = stream
                container.mux(packet)
    parts = []  # the metadata, which hold the cover, go before the track
    for name, data in boxes(path.read_bytes()):
        if name == b"moov":
            inner = sorted(boxes(data[8:]), key=lambda box: box[0] != b"udta")
            data = data[:8] + b"".join(each for _, each in inner)
        parts.append(data)
    path.write_bytes(b"".join(parts))
    with av.open(path) as container:
        assert container.streams.video[0].disposition & av.stream.Disposition.attached_pic
    facts = describe(path)
    assert (facts.width, facts.height, len(facts.times)) == (96, 64, 4)
    assert len(list(pictures(path))) == 4


@pytest.mark.parametrize("name", ["K\udcf6ln.mp4", "2026-11-28T18:30:00.mp4", "a\nb.mkv", "-x.mov"])
def test_any_name_is_opened(name, tmp_path, monkeypatch):
    from pathlib import Path

    film = film_of(tmp_path / f"film{Path(name).suffix}", [WIDE] * 4)
    film.rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(list(pictures(Path(name)))) == 4


def test_a_playlist_opens_no_other_file(tmp_path):
    film_of(tmp_path / "private.mp4", [WIDE] * 4)
    lists = {
        "a.mp4": "#EXTM3U\n#EXTINF:1,\nprivate.mp4\n#EXT-X-ENDLIST\n",
        "b.mkv": f"ffconcat version 1.0\nfile {tmp_path}/private.mp4\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(PairError, match="expected a playable video"):
            describe(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "an empty file: restore"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "a Git LFS pointer: run git",
        ),
        (b"<!DOCTYPE html><html>404</html>", "an HTML page: download"),
        (b"\x00" * 4000, "Invalid data found"),
    ],
)
def test_what_lies_in_place_of_a_film_is_named(content, got, tmp_path):
    (tmp_path / "film.mp4").write_bytes(content)
    with pytest.raises(PairError, match=f"expected a playable video in .*film.mp4, got {got}"):
        find_footage(str(tmp_path / "film.mp4"), Reading())


def test_no_orientation_leaves_a_picture_as_it_is():
    np.testing.assert_array_equal(Orientation().apply(WIDE), WIDE)
