"""JPEG and H.264 of a chunk, made once for all sinks of a run."""

import gc
import io
import threading

import numpy as np
import pytest
from driven_scene import driven_chunk
from h264_pictures import decoded
from PIL import Image
from sink_drive import run_info
from street import make_chunk

from realmaster_live.errors import RecordingError
from realmaster_live.recording.h264 import H264Encoder
from realmaster_live.sinks.encoding import Encodings, pictures_of


def test_the_sinks_of_a_run_share_one_and_other_runs_do_not():
    run = run_info()
    assert Encodings.of(run) is Encodings.of(run)
    assert Encodings.of(run).fps == 20
    assert Encodings.of(run_info()) is not Encodings.of(run)


def test_pictures_come_back():
    encodings, chunk = Encodings(), driven_chunk(0)
    for which in ("real", "sim"):
        for data, truth in zip(
            encodings.jpeg(chunk, which), pictures_of(chunk, which), strict=True
        ):
            picture = np.asarray(Image.open(io.BytesIO(data)))
            assert abs(picture.astype(int) - truth).mean() < 4
        pictures = decoded(encodings.h264(chunk, which))
        assert len(pictures) == 4
        for picture, truth in zip(pictures, pictures_of(chunk, which), strict=True):
            assert abs(picture.astype(int) - truth).mean() < 6


def test_every_chunk_can_be_the_first_that_is_seen():
    encodings = Encodings()
    packets = [encodings.h264(driven_chunk(index)) for index in range(4)]
    for kept in ([3], [0, 2, 3], [0, 1, 3]):
        assert len(decoded([one for index in kept for one in packets[index]])) == 4 * len(kept)


def test_a_chunk_is_encoded_once_whoever_asks(monkeypatch):
    calls = []
    encode = H264Encoder.encode
    monkeypatch.setattr(
        H264Encoder, "encode", lambda self, pictures: calls.append(1) or encode(self, pictures)
    )
    encodings, chunk, answers = Encodings(), driven_chunk(0), []
    ask = [threading.Thread(target=lambda: answers.append(encodings.h264(chunk))) for _ in range(4)]
    for thread in ask:
        thread.start()
    for thread in ask:
        thread.join(30)
    assert len(calls) == 1 and all(one is answers[0] for one in answers)


def test_what_was_made_goes_with_its_pictures():
    encodings = Encodings()
    for index in range(5):
        encodings.jpeg(driven_chunk(index))
    gc.collect()
    assert not encodings._made


def test_odd_sides_are_refused_in_a_sentence():
    with pytest.raises(RecordingError, match="even sides"):
        Encodings().h264(make_chunk(0, size=(97, 64)))
