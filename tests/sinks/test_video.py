import numpy as np
import pytest

from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.recording.streams import read_stream
from realmaster_live.sinks.video import GAP_PX, SideBySideVideo


def test_both_halves_are_in_the_film(tmp_path, chunk_at):
    with SideBySideVideo(tmp_path / "out" / "film.mp4", 20, captions=None) as video:
        for index in range(3):
            video.write(chunk_at(index))
    pictures = list(read_stream(tmp_path / "out" / "film.mp4", "sim"))
    assert len(pictures) == 12
    chunk = chunk_at(2)
    width = chunk.frames.shape[2]
    left, right = pictures[10][:, :width], pictures[10][:, width + GAP_PX :]
    assert abs(left.astype(int) - chunk.rendered[2]).mean() < 4
    assert abs(right.astype(int) - chunk.frames[2]).mean() < 4


def test_captions_name_the_halves(tmp_path, chunk_at):
    for captions in (None, ("simulator", "realized")):
        with SideBySideVideo(tmp_path / f"{captions is None}.mp4", 20, captions=captions) as video:
            video.write(chunk_at(0))
    bare = next(read_stream(tmp_path / "True.mp4", "sim")).astype(int)
    named = next(read_stream(tmp_path / "False.mp4", "sim")).astype(int)
    assert abs(bare - named)[:40, :96].mean() > 10
    assert abs(bare - named)[45:].mean() < 4


def test_the_chunk_itself_is_not_written_on(tmp_path, chunk_at):
    chunk = chunk_at(0)
    with SideBySideVideo(tmp_path / "film.mp4", 20) as video:
        video.write(chunk)
    np.testing.assert_array_equal(chunk.frames, chunk_at(0).frames)


def test_an_unwritable_place_is_a_recording_error(tmp_path, chunk_at):
    (tmp_path / "file").write_text("")
    video = SideBySideVideo(tmp_path / "file" / "film.mp4", 20)
    with pytest.raises(RecordingError, match="another place"):
        video.write(chunk_at(0))
    video.close()


def test_a_file_that_exists_is_kept(tmp_path, chunk_at):
    path = tmp_path / "film.mp4"
    path.write_text("precious")
    with pytest.raises(RecordingError, match="exists: choose another name"):
        SideBySideVideo(path, 20).write(chunk_at(0))
    assert path.read_text() == "precious"
    with SideBySideVideo(path, 20, overwrite=True) as video:
        video.write(chunk_at(0))
    assert len(list(read_stream(path, "sim"))) == 4


def test_two_films_never_share_a_file(tmp_path, chunk_at):
    path = tmp_path / "film.mp4"
    with SideBySideVideo(path, 20) as video:
        with pytest.raises(RecordingError, match="exists"), SideBySideVideo(path, 20):
            pass
        video.write(chunk_at(0))
    assert len(list(read_stream(path, "sim"))) == 4


def test_a_film_without_pictures_leaves_no_file(tmp_path):
    with SideBySideVideo(tmp_path / "film.mp4", 20):
        pass
    assert list(tmp_path.iterdir()) == []


def test_another_ending_is_one_sentence():
    with pytest.raises(ConfigError, match=r"expected a film that ends in .mp4 or .mkv, got a.txt"):
        SideBySideVideo("a.txt")
