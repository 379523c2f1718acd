"""Colours of films become sRGB: matrices, ranges, HDR and wide primaries."""

from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange

from realmaster_live.errors import PairError
from realmaster_live.replay.video_files import describe, pictures

COLOUR = (30, 160, 60)
TAGS = {"pq": (9, 16, 9), "hlg": (9, 18, 9), "bt2020": (9, 14, 9), "p3": (12, 13, 1)}


@pytest.mark.parametrize("depth", ["yuv444p", "yuv444p10le"])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 5, 6, 7, 9])
def test_matrix_and_range_are_applied(matrix, full, depth, tmp_path):
    kr, kb = {
        1: (0.2126, 0.0722),
        5: (0.299, 0.114),
        6: (0.299, 0.114),
        7: (0.212, 0.087),
        9: (0.2627, 0.0593),
    }[matrix]
    path = coded_film(tmp_path, COLOUR, kr, kb, full, depth, (1, 1, matrix))
    assert np.abs(next(pictures(path)).mean((0, 1)) - COLOUR).max() <= 2.5


def coded_film(folder, rgb, kr, kb, full, pix_fmt, tags):
    """Write a film of one colour: R'G'B' of 0 to 255, coded by the formula of ITU-T H.273."""
    r, g, b = (each / 255 for each in rgb)
    y = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - y) / 2 / (1 - kb), (r - y) / 2 / (1 - kr)
    deep = "10" in pix_fmt
    unit = 4 if deep else 1
    if full:
        top = 1023 if deep else 255
        codes = (y * top, cb * top + 128 * unit, cr * top + 128 * unit)
    else:
        codes = tuple(unit * each for each in (219 * y + 16, 224 * cb + 128, 224 * cr + 128))
    frame = av.VideoFrame(64, 64, pix_fmt)
    for plane, code in zip(frame.planes, codes, strict=True):
        kind = np.uint16 if deep else np.uint8
        plane.update(np.full(plane.buffer_size // kind().itemsize, round(code), kind).tobytes())
    frame.color_range = ColorRange.JPEG if full else ColorRange.MPEG
    path = folder / "film.mkv"
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=20)
        stream.width, stream.height, stream.pix_fmt = 64, 64, pix_fmt
        coded = stream.codec_context
        coded.color_primaries, coded.color_trc, coded.colorspace = tags
        coded.color_range = 2 if full else 1
        for _ in range(2):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def pq(light):
    """Return the signal of light, 1 for 10,000 cd/m2 (SMPTE ST 2084)."""
    power = np.asarray(light) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg(light):
    """Return the signal of a scene's light (ARIB STD-B67)."""
    light = np.asarray(light, float)
    return np.where(
        light <= 1 / 12,
        np.sqrt(3 * light),
        0.17883277 * np.log(np.maximum(12 * light - 0.28466892, 1e-9)) + 0.55991073,
    )


def srgb(light):
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


SRGB_TO_2020 = np.array(
    [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
)


@pytest.mark.parametrize(
    "light", [(0.18, 0.18, 0.18), (0.5, 0.1, 0.05), (0.02, 0.3, 0.6), (0.55,) * 3]
)
@pytest.mark.parametrize("name", ["pq", "hlg"])
def test_hdr_colours_below_white_are_those_of_srgb(name, light, tmp_path):
    wide = SRGB_TO_2020 @ light  # 1 is the reference white, 203 cd/m2
    if name == "pq":
        signal = pq(wide * 203 / 10_000)
    else:  # the display shows the scene's light times its luminance to the power of 0.2
        shown = wide * 0.203
        luminance = (shown @ (0.2627, 0.6780, 0.0593)) ** (1 / 1.2)
        signal = hlg(shown / luminance**0.2)
    path = coded_film(tmp_path, signal * 255, 0.2627, 0.0593, False, "yuv444p10le", TAGS[name])
    assert np.abs(next(pictures(path)).mean((0, 1)) - srgb(np.array(light))).max() <= 2.5


@pytest.mark.parametrize("name", ["pq", "hlg"])
def test_what_is_brighter_than_white_is_compressed_in_order(name, tmp_path):
    found = []
    for nits in (100, 203, 400, 700, 1000):
        signal = pq(nits / 10_000) if name == "pq" else hlg((nits / 1000) ** (1 / 1.2))
        path = coded_film(
            tmp_path, [signal * 255] * 3, 0.2627, 0.0593, False, "yuv444p10le", TAGS[name]
        )
        found.append(float(next(pictures(path)).mean()))
    assert found[1] == pytest.approx(srgb(np.array(0.8)), abs=2)
    assert np.all(np.diff(found) >= 1)
    assert found[-1] < 255


@pytest.mark.parametrize("tags", [(9, 16, 2), (2, 16, 9), (2, 16, 2), (2, 18, 2), (9, 18, 2)])
def test_hdr_that_names_a_part_of_its_colours_has_those_of_bt2100(tags, tmp_path):
    whole = (9, tags[1], 9)
    found = []
    for each in (tags, whole):
        path = coded_film(
            tmp_path, (150, 90, 60), 0.2627, 0.0593, False, "yuv444p10le", each
        ).rename(tmp_path / f"{each}.mkv")
        found.append(next(pictures(path)))
    np.testing.assert_array_equal(*found)


CONTAINERS = {
    "hevc.mp4": "libx265", "hevc.mov": "libx265", "hevc.mkv": "libx265", "avc.mkv": "libx264",
    "avc.mov": "libx264", "av1.webm": "libsvtav1", "av1.mp4": "libsvtav1",
    "prores.mov": "prores_ks", "ffv1.mkv": "ffv1",
}  # fmt: skip


@pytest.mark.parametrize("kind", ["pq", "hlg", "hlg in a message"])
@pytest.mark.parametrize("name", CONTAINERS)
def test_hdr_is_shown_alike_from_every_container(name, kind, tmp_path):
    """The colour is that of a film without loss; HLG may be named by a message in HEVC alone."""
    codec, (primaries, transfer, matrix) = CONTAINERS[name], TAGS[kind[:3].strip()]
    if codec not in av.codecs_available or ("message" in kind and codec != "libx265"):
        pytest.skip("no such encoder, or no such message")
    if "message" in kind:
        transfer = 14
    codes = (400, 495, 540)  # darker than what is compressed
    pix_fmt = "yuv422p10le" if codec == "prores_ks" else "yuv420p10le"
    options = {"x265-params": f"log-level=none:lossless=1:colorprim={primaries}:transfer={transfer}"
               f":colormatrix={matrix}" + ":atc-sei=18" * ("message" in kind)}  # fmt: skip
    path = tmp_path / name
    options = options if codec == "libx265" else {"crf": "5"}
    tags = primaries, transfer, matrix
    # In a thread of its own: SVT-AV1 leaves the thread that opens it with real-time priority where
    # it may (for root), and every thread and process that this one starts would inherit it.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(film_of_codes, path, codec, options, pix_fmt, tags, codes).result(60)
    reference = hdr_colour(codes, "hlg" if "hlg" in kind else "pq")
    assert np.abs(next(pictures(path)).mean((0, 1)) - reference).max() <= 4


def film_of_codes(path, codec, options, pix_fmt, tags, codes):
    """Write a film of one colour, given as limited 10-bit codes."""
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=20, options=options)
        stream.width, stream.height, stream.pix_fmt = 192, 128, pix_fmt
        coded = stream.codec_context
        coded.color_primaries, coded.color_trc, coded.colorspace = tags
        frame = av.VideoFrame(192, 128, pix_fmt)
        for plane, code in zip(frame.planes, codes, strict=True):
            plane.update(np.full(plane.buffer_size // 2, code, np.uint16).tobytes())
        frame.color_range, frame.colorspace = ColorRange.MPEG, tags[2]
        for number in range(4):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def hdr_colour(codes, name):
    """Return the sRGB, 0 to 255, of limited 10-bit codes of BT.2100's signal."""
    y, cb, cr = (codes[0] - 64) / 876, (codes[1] - 512) / 896, (codes[2] - 512) / 896
    r, b = y + 1.4746 * cr, y + 1.8814 * cb
    signal = np.array((r, (y - 0.2627 * r - 0.0593 * b) / 0.6780, b))
    if name == "pq":
        power = signal ** (1 / 78.84375)
        nits = (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (
            1 / 0.1593017578125
        ) * 10_000
    else:
        low, high = signal**2 / 3, (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
        scene = np.where(signal <= 0.5, low, high)
        nits = 1000 * scene * (scene @ (0.2627, 0.6780, 0.0593)) ** 0.2
    light = np.linalg.inv(SRGB_TO_2020) @ (nits / 203)
    return srgb(np.clip(light, 0, 1))


@pytest.mark.parametrize("name", ["bt2020", "p3"])
def test_wide_primaries_of_sdr_become_those_of_srgb(name, tmp_path):
    light = np.array((0.4, 0.15, 0.1))
    to_wide = (
        SRGB_TO_2020
        if name == "bt2020"
        else np.array([[0.8225, 0.1774, 0.0], [0.0332, 0.9669, 0.0], [0.0171, 0.0724, 0.9108]])
    )
    kr, kb = (0.2627, 0.0593) if name == "bt2020" else (0.2126, 0.0722)
    path = coded_film(tmp_path, srgb(to_wide @ light), kr, kb, False, "yuv444p10le", TAGS[name])
    assert np.abs(next(pictures(path)).mean((0, 1)) - srgb(light)).max() <= 2.5


@pytest.mark.parametrize(
    ("tags", "what"), [((1, 9, 1), "transfer function 9"), ((9, 16, 14), "matrix 14")]
)
def test_colours_of_no_usual_kind_are_refused(tags, what, tmp_path):
    path = coded_film(tmp_path, COLOUR, 0.2627, 0.0593, False, "yuv444p10le", tags)
    with pytest.raises(PairError, match=rf"got the .*{what} .*convert it"):
        describe(path)


def test_dolby_vision_without_colours_for_others_is_refused(tmp_path):
    path = tmp_path / "film.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx265", rate=10, options={"x265-params": "log-level=none"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p10le"
        for _ in range(4):
            picture = np.full((64, 96, 3), 90, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    data = path.read_bytes()
    assert data.count(b"hev1") + data.count(b"hvc1") == 1
    assert describe(path).times.size == 4
    other = tmp_path / "dolby.mp4"
    other.write_bytes(data.replace(b"hev1", b"dvhe").replace(b"hvc1", b"dvh1"))
    with pytest.raises(PairError, match=r"Dolby Vision alone \(profile 5\).*convert it"):
        describe(other)
