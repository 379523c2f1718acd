import numpy as np
import pyarrow.ipc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from realmaster_live.errors import RecordingError
from realmaster_live.frames.chunk import LABEL_DTYPES
from realmaster_live.recording.labels import LabelWriter, count_labels, cut_labels, read_label
from realmaster_live.recording.packing import DEPTH_CODES, PACKINGS, pack_depth, unpack_depth

SHAPE = (3, 5)


def test_every_label_has_a_packing():
    assert PACKINGS.keys() == LABEL_DTYPES.keys()


@pytest.mark.parametrize("name", PACKINGS)
def test_the_columns_are_as_promised(name):
    shape = (*SHAPE, 2) if name == "flow" else SHAPE
    packing = PACKINGS[name]
    columns = packing.pack(np.zeros(shape, LABEL_DTYPES[name]))
    assert {key: column.dtype for key, column in columns.items()} == packing.dtypes
    assert all(column.shape == SHAPE for column in columns.values())
    back = packing.unpack(columns)
    assert back.dtype == LABEL_DTYPES[name]
    assert back.shape == shape
    back[:] = 1  # its own


@given(arrays.arrays(np.int32, SHAPE))
def test_any_instance_comes_back(instance):
    packing = PACKINGS["instance"]
    np.testing.assert_array_equal(packing.unpack(packing.pack(instance)), instance)


@given(arrays.arrays(np.float32, (*SHAPE, 2), elements=st.floats(width=32)))
def test_any_flow_comes_back_bit_by_bit(flow):
    packing = PACKINGS["flow"]
    back = packing.unpack(packing.pack(flow))
    np.testing.assert_array_equal(back.view(np.uint32), flow.view(np.uint32))


def test_every_depth_that_carla_can_send_comes_back_bit_by_bit():
    codes = np.arange(DEPTH_CODES, dtype=np.uint32).reshape(4096, 4096)
    depth = codes.astype(np.float32) * np.float32(1000.0 / (2**24 - 1))
    columns = pack_depth(depth)
    np.testing.assert_array_equal(unpack_depth(columns), depth)
    assert [columns[name][300, 77] for name in "rgb"] == list(
        int(codes[300, 77]).to_bytes(3, "little")
    )


@given(arrays.arrays(np.float32, SHAPE, elements=st.floats(0, 1000, width=32)))
def test_any_depth_is_good_to_a_tenth_of_a_millimetre(depth):
    np.testing.assert_allclose(unpack_depth(pack_depth(depth)), depth, atol=7e-5, rtol=0)


def test_depth_beyond_the_far_plane_is_the_far_plane():
    odd = np.array([[np.inf, np.nan, 5000.0, 1000.0]], np.float32)
    assert unpack_depth(pack_depth(odd)).tolist() == [[1000.0] * 4]


@pytest.fixture
def film(tmp_path):
    writer = LabelWriter(tmp_path / "instance.arrow", "instance", (5, 3))
    for number in range(10):
        writer.write(np.full(SHAPE, number, np.int32))
    writer.close()
    writer.close()
    return tmp_path / "instance.arrow"


def numbers(path, wanted=None):
    return [int(label[0, 0]) for label in read_label(path, "instance", wanted)]


def test_any_place_of_a_file_can_be_read(film):
    assert numbers(film) == list(range(10))
    assert numbers(film, [2, 3, 9]) == [2, 3, 9]
    assert numbers(film, range(8, 14, 2)) == [8]


def test_pyarrow_alone_reads_it(film):
    batch = pyarrow.ipc.open_file(film).get_batch(7)
    np.testing.assert_array_equal(batch["instance"].to_numpy_ndarray()[0], np.full(SHAPE, 7))


def test_a_file_that_was_cut_short_gives_what_came_before_and_can_be_ended(film):
    whole = film.read_bytes()
    film.write_bytes(whole[: len(whole) // 2])
    readable = count_labels(film)
    assert readable.opened
    assert readable.problem
    there = readable.pictures
    assert 2 <= there <= 8
    read = []
    with pytest.raises(RecordingError, match=r"instance\.arrow"):
        for label in read_label(film, "instance"):
            read.append(int(label[0, 0]))
    assert read == list(range(there))
    cut_labels(film, there - 1)
    assert numbers(film) == list(range(there - 1))
    assert pyarrow.ipc.open_file(film).num_record_batches == there - 1
    assert [path.name for path in film.parent.iterdir()] == [film.name]


def test_other_bytes_are_no_labels(tmp_path):
    (tmp_path / "depth.arrow").write_bytes(b"nothing of ours" * 9)
    assert not count_labels(tmp_path / "depth.arrow").opened
    with pytest.raises(RecordingError, match="restore the file"):
        list(read_label(tmp_path / "depth.arrow", "depth"))
