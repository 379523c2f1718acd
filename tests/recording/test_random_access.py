"""Single frames of a recording in any order are those that it plays."""

import pickle
import random
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from recorded_drive import CAMERAS, SEGMENT_S, SPEC, chunks_of

import realmaster_live as rm
from realmaster_live.errors import RecordingError
from realmaster_live.recording.random_access import RandomAccess


@pytest.fixture(scope="module", params=["mp4", "mkv"])
def drive(request, made_once):
    """Twelve chunks of two cameras in three segments."""

    def make(folder):
        options = {"segment_s": SEGMENT_S, "container": request.param}
        with rm.Recorder(folder / "drive", SPEC, **options) as recorder:
            for index in range(12):
                for chunk in chunks_of(index):
                    recorder.write(chunk)

    return made_once(f"random-access-{request.param}", make) / "drive"


def same(one, other):
    """Fail unless two samples hold the same."""
    assert (one.frame.camera, one.frame_id) == (other.frame.camera, other.frame_id)
    assert one.timestamp == other.timestamp and one.chunk_start == other.chunk_start
    assert one.frame.dropped_before == other.frame.dropped_before
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.real, other.real)
    assert one.labels.keys() == other.labels.keys() and one.labels
    for name, label in one.labels.items():
        np.testing.assert_array_equal(label, other.labels[name])
    assert one.annotations == other.annotations


def test_frames_in_any_order_are_those_that_samples_gives(drive):
    recording = rm.Recording(drive)
    expected = {name: list(recording.samples(name)) for name in CAMERAS}
    played = [(frame.camera, frame.frame_id) for frame in recording]
    assert len(played) == len(recording) == 96
    order = [*random.Random(1).sample(range(96), 96), 3, 3, 4, 5, 2]
    for index in order:
        sample = recording[index]
        assert (sample.frame.camera, sample.frame_id) == played[index]
        same(sample, expected[sample.frame.camera][index // 2])


def test_negative_indices_slices_and_the_end(drive):
    recording = rm.Recording(drive)
    numbers = [(frame.camera, frame.frame_id) for frame in recording]

    def found(samples):
        return [(sample.frame.camera, sample.frame_id) for sample in samples]

    assert found([recording[-1], recording[-96], recording[np.int64(5)]]) == [
        numbers[-1],
        numbers[0],
        numbers[5],
    ]
    assert found(recording[10:14]) == numbers[10:14]
    assert found(recording[-3:]) == numbers[-3:]
    assert found(recording[::-40]) == numbers[::-40]
    excerpt = recording[10:40][2:10:3]
    assert found(excerpt) == numbers[10:40][2:10:3] and len(excerpt) == 3
    sample = recording[0]
    said = f"Sample({sample.frame!r}, realized, {len(sample.annotations)} annotations, "
    assert repr(sample).startswith(said) and len(repr(sample)) < 200
    assert repr(excerpt) == f"{recording!r}[12:20:3]"
    assert len(recording[500:]) == 0
    for index in (96, -97):
        with pytest.raises(IndexError):
            recording[index]
    with pytest.raises(TypeError):
        recording["front"]


def test_a_recording_of_chosen_cameras_and_labels_has_only_these(drive):
    recording = rm.Recording(drive, cameras=["rear"], labels=["depth"])
    sample = recording[3]
    assert (len(recording), sample.frame.camera, [*sample.labels]) == (48, "rear", ["depth"])
    assert sample.image.shape == sample.real.shape == (48, 64, 3)


def test_a_picture_belongs_to_who_asked_for_it(drive):
    recording = rm.Recording(drive)
    first = recording[8]
    before = first.real.copy(), first.labels["instance"].copy()
    first.real[:], first.labels["instance"][:] = 0, 0
    again = recording[8]
    np.testing.assert_array_equal(again.real, before[0])
    np.testing.assert_array_equal(again.labels["instance"], before[1])


def test_it_is_pickled_and_used_in_threads(drive):
    recording = rm.Recording(drive)
    expected = [recording[index] for index in range(0, 96, 5)]
    copy = pickle.loads(pickle.dumps(recording))
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(pool.map(copy.__getitem__, range(0, 96, 5)), expected, strict=True):
            same(one, other)


def test_few_files_are_open_at_a_time(drive):
    recording = rm.Recording(drive)
    access = RandomAccess(files=2, tables=1)
    for number in (0, 1, 2, 0):
        for name in CAMERAS:
            segment = recording._segments[number]
            sample = access.sample(segment, name, 1, ("sim", "real", "instance"))
            same_camera = rm.Recording(drive, cameras=[name])
            assert sample.frame_id == same_camera[number * 20 + 1].frame_id
            assert [len(kept) for kept in access._kept()] == [2, 1]


def test_a_closed_recording_says_so(drive):
    recording = rm.Recording(drive)
    assert recording[0].frame_id == 1000
    recording.close()
    recording.close()
    with pytest.raises(RecordingError, match="which was closed: open it again"):
        recording[0]


def test_a_killed_recording_ends_at_the_last_frame_that_all_files_have(record_apart, tmp_path):
    assert record_apart(tmp_path / "d", "chunk 7") == -signal.SIGKILL
    recording = rm.Recording(tmp_path / "d")
    played = list(recording)
    assert 0 < len(recording) == len(played)
    for index in (len(played) - 1, 0, len(played) // 2):
        sample = recording[index]
        assert sample.frame_id == played[index].frame_id
        np.testing.assert_array_equal(sample.image, played[index].image)
        np.testing.assert_array_equal(sample.labels["semantic"], played[index].labels["semantic"])


@pytest.mark.parametrize("file", ["real.mp4", "semantic.arrow"])
def test_a_damaged_file_is_named(tmp_path, file):
    with rm.Recorder(tmp_path / "d", SPEC) as recorder:
        for index in range(3):
            recorder.write(next(chunks_of(index)))
    path = tmp_path / "d/segments/000000/front" / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(RecordingError, match=f"{file} as it was recorded, got other bytes"):
        rm.Recording(tmp_path / "d")[0]
    with pytest.raises(RecordingError, match=file):
        for index in range(12):
            rm.Recording(tmp_path / "d", verify=False)[index]
