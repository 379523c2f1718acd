"""A recording and an MCAP file of one run: their video is encoded once."""

from dataclasses import replace

import numpy as np
import pytest
from driven_scene import FPS, SIZE, driven_chunk
from h264_pictures import decoded
from sink_drive import run_info

import realmaster_live as rm
from realmaster_live.recording.film_packets import Films
from realmaster_live.recording.h264 import H264Encoder, H264File
from realmaster_live.recording.videos import read_video
from realmaster_live.sinks.encoding import FilmOrOwn

content = pytest.importorskip("mcap_content")
pytest.importorskip("foxglove")


class Drive:
    """A source of two cameras' frames, 28 ticks."""

    info = run_info("front", "back").source.info

    def frames(self):
        for index in range(7):
            chunks = [driven_chunk(index, camera) for camera in ("front", "back")]
            for row in range(4):
                for chunk in chunks:
                    yield replace(chunk, frames=chunk.rendered, rendered=None).frame(row)

    def close(self):
        pass


class Inverted:
    """An engine whose pictures are no simulator's."""

    spec = rm.ChunkSpec(frames=4, width=SIZE[0], height=SIZE[1], fps=FPS)

    def realize(self, chunk):
        return chunk.with_frames(255 - chunk.frames)

    def reset(self):
        pass

    def close(self):
        pass


def drive(folder, monkeypatch, *, order=1, **recording):
    """Record a drive with an MCAP file beside it; return both files' pictures and the encoders."""
    made = []
    for kind in (H264File, H264Encoder):
        begin = kind.__init__
        monkeypatch.setattr(
            kind, "__init__",
            lambda self, *given, kind=kind, begin=begin, **more: (
                made.append(kind) or begin(self, *given, **more)
            ),
        )  # fmt: skip
    sinks = [
        rm.Recorder(folder / "drive", **recording),
        rm.open_sink(f"mcap:{folder}/drive.mcap"),
    ]
    engine = Inverted()
    rm.run(Drive(), {"front": engine, "back": Inverted()}, sinks[::order])
    assert not sinks[1].figures.error
    found = content.read(folder / "drive.mcap")
    films, logged = {}, {}
    for camera in ("front", "back"):
        for which in ("sim", "real"):
            files = sorted((folder / "drive").glob(f"segments/*/{camera}/{which}.mp4"))
            films[camera, which] = [one for file in files for one in read_video(file)]
            packets = [message.data for _, message in found[f"/{camera}/{which}"]]
            logged[camera, which] = decoded(packets)
    return films, logged, made


def test_the_log_holds_the_films_pictures_and_no_encoder_of_its_own(tmp_path, monkeypatch):
    films, logged, made = drive(tmp_path, monkeypatch, segment_s=0.6)
    segments = len(list((tmp_path / "drive/segments").iterdir()))
    assert segments == 3 and made == [H264File] * segments * 4
    for key, pictures in films.items():
        assert len(pictures) == 28
        np.testing.assert_array_equal(pictures, logged[key])
    assert not np.array_equal(films["front", "sim"], films["front", "real"])


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_packets_are_those_of_the_file(tmp_path, container):
    from realmaster_live.recording.videos import PictureWriter

    path = tmp_path / f"film.{container}"
    pictures = np.concatenate([driven_chunk(index).frames for index in range(6)])
    with PictureWriter(path, SIZE, FPS) as film:
        packets = [film.write(picture) for picture in pictures]
    np.testing.assert_array_equal(decoded(packets), list(read_video(path)))


def test_a_film_without_loss_is_not_shared(tmp_path, monkeypatch):
    _, logged, made = drive(tmp_path, monkeypatch, lossless=True)
    assert made.count(H264Encoder) == 4
    assert all(len(pictures) == 28 for pictures in logged.values())


def test_what_the_film_does_not_hold_is_encoded_anew(tmp_path):
    run = run_info("front")
    chunks = [driven_chunk(index) for index in range(6)]
    video = FilmOrOwn(run)
    with rm.Recorder(tmp_path / "drive") as recorder:
        recorder.begin(run)
        packets = []
        for index, chunk in enumerate(chunks):
            if index == 2:  # as where the recorder is slower than the log
                packets += video.h264(chunk)
            recorder.write(chunk)
            if index != 2:
                packets += video.h264(chunk)
    pictures = decoded(packets)
    films = [one for file in (tmp_path / "drive").rglob("real.mp4") for one in read_video(file)]
    np.testing.assert_array_equal(pictures[:8], films[:8])
    for picture, truth in zip(pictures[8:], np.concatenate([c.frames for c in chunks[2:]]),
                              strict=True):  # fmt: skip
        assert abs(picture.astype(int) - truth).mean() < 6
    del chunks, chunk
    assert len(run.share(Films)) == 0
