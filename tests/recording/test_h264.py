import av
import numpy as np
import pytest

from realmaster_live.errors import RecordingError
from realmaster_live.recording.h264 import H264File

PICTURES = [np.full((32, 64, 3), 20 * index, np.uint8) for index in range(9)]


def write(path, size=(64, 32), **options):
    file = H264File(path, size, 12.5, key_every=4, x264={"preset": "ultrafast", "bf": "0"},
                    container={}, **options)  # fmt: skip
    for picture in PICTURES:
        file.write(picture)
    file.close()
    file.close()


def test_the_same_pictures_give_the_same_bytes(tmp_path):
    write(tmp_path / "a.mp4")
    write(tmp_path / "b.mp4")
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "rgb24"])
def test_pictures_come_back_at_their_times_with_key_frames(tmp_path, pixel_format):
    write(tmp_path / "a.mp4", pixel_format=pixel_format)
    with av.open(str(tmp_path / "a.mp4")) as container:
        frames = list(container.decode(video=0))
    assert [frame.time for frame in frames] == pytest.approx([index / 12.5 for index in range(9)])
    assert [index for index, frame in enumerate(frames) if frame.key_frame] == [0, 4, 8]
    for frame, picture in zip(frames, PICTURES, strict=True):
        off = np.abs(frame.to_ndarray(format="rgb24").astype(int) - picture)
        assert off.max() <= (0 if pixel_format == "rgb24" else 6)


def test_odd_sides_and_a_missing_folder_are_errors(tmp_path):
    with pytest.raises(RecordingError, match=r"even sides for H\.264, got 63x32"):
        write(tmp_path / "a.mp4", size=(63, 32))
    with pytest.raises(RecordingError, match=r"expected to write .*nowhere"):
        write(tmp_path / "nowhere" / "a.mp4")
