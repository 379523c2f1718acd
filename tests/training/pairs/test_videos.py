import os
import subprocess
import sys

import av
import numpy as np
import pytest
from footage import frames_of, write_film

from realmaster_live.errors import PairError
from realmaster_live.replay import video_files
from realmaster_live.training.pairs import videos
from realmaster_live.training.previews import psnr_bytes


def test_photoreal_clips_come_back_nearly_as_they_were(tmp_path):
    frames = frames_of(13)
    videos.write_video(tmp_path / "a.mp4", frames, 16.0)
    back = videos.read_video(tmp_path / "a.mp4")
    assert back.shape == frames.shape
    assert psnr_bytes(back, frames) > 45
    assert abs(back[5].reshape(-1, 3).mean(0) - frames[5].reshape(-1, 3).mean(0)).max() < 1
    facts = video_files.describe(tmp_path / "a.mp4")
    assert (facts.width, facts.height, facts.fps, facts.missing) == (96, 64, 16.0, 0)
    np.testing.assert_allclose(np.diff(facts.times), 1 / 16)
    videos.write_video(tmp_path / "b.mp4", frames, 16.0)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


WRITE = """
import sys
from pathlib import Path
import cv2, numpy as np
from realmaster_live.training.pairs import videos
noise = np.random.default_rng(1).integers(0, 256, (9, 32, 48, 3), dtype=np.uint8)
smooth = np.stack([cv2.GaussianBlur(picture, (0, 0), 1.5) for picture in noise])
videos.write_video(Path(sys.argv[1]), smooth, 16)
"""


def test_what_memory_held_before_is_no_part_of_a_video(tmp_path):
    for value in ("0", "77"):  # glibc fills new memory with it
        command = [sys.executable, "-c", WRITE, str(tmp_path / f"{value}.mp4")]
        subprocess.run(command, check=True, env={**os.environ, "MALLOC_PERTURB_": value})
    assert (tmp_path / "0.mp4").read_bytes() == (tmp_path / "77.mp4").read_bytes()


def test_grey_maps_come_back_bit_by_bit(tmp_path):
    maps = np.random.default_rng(0).integers(0, 256, (7, 64, 96), np.uint8)
    videos.write_gray(tmp_path / "edges.mkv", maps, 20.0)
    np.testing.assert_array_equal(videos.read_gray(tmp_path / "edges.mkv"), maps)


FORMATS = {
    "closed.mp4": ("libx264", {}),
    "open.mkv": ("libx264", {"x264-params": "open-gop=1"}),
    "undated.avi": ("libx264", {}),
    "vp9.webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
    "mpeg4.mov": ("mpeg4", {}),
}


@pytest.mark.parametrize("name", FORMATS)
def test_any_frame_of_any_container_is_the_one_that_was_asked_for(name, tmp_path):
    path = tmp_path / name
    codec, options = FORMATS[name]
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.gop_size = 12
        for picture in frames_of(40):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    whole = videos.read_video(path)
    assert len(whole) == 40
    for wanted in (range(5), range(7, 20), range(11, 38, 3), range(30, 40), range(13, 14)):
        found = np.stack(list(video_files.pictures(path, wanted)))
        np.testing.assert_array_equal(found, whole[wanted.start : wanted.stop : wanted.step])


def test_colours_of_an_unmarked_video_follow_its_height(tmp_path):
    colour = np.full((720, 1280, 3), (30, 160, 60), np.uint8)
    path = tmp_path / "hd.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        frame = av.VideoFrame.from_ndarray(colour, format="rgb24")
        container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709")))
        container.mux(stream.encode(None))
    assert abs(videos.read_video(path)[0].astype(int) - colour).max() <= 3


def test_what_is_no_video_is_refused(tmp_path):
    film = write_film(tmp_path / "film.mp4")
    film.write_bytes(film.read_bytes()[:800])
    for path, message in ((film, "a playable video in "), (tmp_path / "none.mp4", "")):
        with pytest.raises(PairError, match=f"expected {message}{path}, got"):
            video_files.describe(path)
    whole = write_film(tmp_path / "whole.mp4")
    with pytest.raises(PairError, match=r"expected frames 28 to 32 .* got 2 of 5"):
        list(video_files.decode(whole, range(28, 33)))


def test_a_full_disk_is_reported(tmp_path):
    path = tmp_path / "edges.mkv"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        videos.write_gray(path, np.zeros((3, 64, 96), np.uint8), 20.0)
