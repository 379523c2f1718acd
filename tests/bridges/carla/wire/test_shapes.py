import math

import pytest

from realmaster_live.bridges.carla.wire import shapes
from realmaster_live.bridges.carla.wire.layouts import layout_of
from realmaster_live.errors import WireFormatError


def test_good_arrays_are_taken():
    assert shapes.transform([[1, 2.5, 3], [0, 90, 0]]) == (1.0, 2.5, 3.0, 0.0, 90.0, 0.0)
    given = [7, "vehicle.a.b", [["color", 5, "1,2,3"], ["role_name", 4, "hero"]]]
    wanted = shapes.description(given)
    assert wanted.type_id == "vehicle.a.b"
    assert wanted.attributes == {"color": "1,2,3", "role_name": "hero"}
    assert shapes.optional([False], "x") is None and shapes.optional([True, 0.05], "x") == 0.05


@pytest.mark.parametrize(
    ("check", "item"),
    [
        (shapes.transform, [[1, 2], [0, 0, 0]]),
        (shapes.transform, [[1, 2, math.nan], [0, 0, 0]]),
        (shapes.transform, [[1, 2, True], [0, 0, 0]]),
        (shapes.transform, "here"),
        (shapes.description, [1, 2, []]),
        (shapes.description, [1, "x", [["a", 1]]]),
        (lambda item: shapes.whole(item, "id"), True),
        (lambda item: shapes.whole(item, "id"), 2**70),
        (lambda item: shapes.number(item, "n"), math.inf),
        (lambda item: shapes.flag(item, "f"), 1),
        (lambda item: shapes.array(item, "a", 2), [1]),
    ],
)
def test_bad_arrays_are_named(check, item):
    with pytest.raises(WireFormatError, match="expected"):
        check(item)


@pytest.mark.parametrize("item", [math.inf, math.nan, -3e38, 2**64 - 1])
def test_a_number_out_of_range_is_no_matter_of_the_version(item):
    with pytest.raises(WireFormatError, match=r"for speed, got .*: give one in that range"):
        shapes.number(item, "speed")


def test_a_text_that_is_too_long_is_no_matter_of_the_version():
    with pytest.raises(WireFormatError, match=r"got one of 9999: give a shorter one"):
        shapes.text("x" * 9999, "map name")
    with pytest.raises(WireFormatError, match=r"a string for map name, got 3: use a client"):
        shapes.text(3, "map name")


def test_boxes_follow_the_version():
    args = ((0.0, 0.0, 0.7), (2.0, 1.0, 0.7))
    assert shapes.box(layout_of("0.9.15"), *args, actor=9) == [[0, 0, 0.7], [2, 1, 0.7], [0, 0, 0]]
    assert shapes.box(layout_of("0.9.16"), *args, actor=9)[3] == 9
