import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from realmaster_live.chunk import LABEL_DTYPES
from realmaster_live.recording.packing import DEPTH_CODES, PACKINGS, pack_depth, unpack_depth

SHAPE = (3, 5)


def test_every_label_has_a_packing():
    assert PACKINGS.keys() == LABEL_DTYPES.keys()


@pytest.mark.parametrize("name", PACKINGS)
def test_the_picture_has_the_promised_shape(name):
    shape = (*SHAPE, 2) if name == "flow" else SHAPE
    packing = PACKINGS[name]
    picture = packing.pack(np.zeros(shape, LABEL_DTYPES[name]))
    assert picture.shape == (packing.rows * SHAPE[0], SHAPE[1])
    assert picture.dtype == (np.uint8 if packing.pixel_format == "gray" else np.uint16)
    assert packing.unpack(picture).dtype == LABEL_DTYPES[name]


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
    np.testing.assert_array_equal(unpack_depth(pack_depth(depth)), depth)


@given(arrays.arrays(np.float32, SHAPE, elements=st.floats(0, 1000, width=32)))
def test_any_depth_is_good_to_a_tenth_of_a_millimetre(depth):
    np.testing.assert_allclose(unpack_depth(pack_depth(depth)), depth, atol=7e-5, rtol=0)


def test_depth_beyond_the_far_plane_is_the_far_plane():
    odd = np.array([[np.inf, np.nan, 5000.0, 1000.0]], np.float32)
    assert unpack_depth(pack_depth(odd)).tolist() == [[1000.0] * 4]
