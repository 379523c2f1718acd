"""Routes from text and from files."""

import pytest

from realmaster_live.errors import ConfigError
from realmaster_live.frames.route import Route, read_route


def test_places_spawn_points_and_files(tmp_path):
    places = ((10.0, 20.5), (-3.0, 4.0))
    assert read_route("10,20.5; -3,4") == Route(name="10,20.5;-3,4", points=places)
    assert read_route("10, 20.50 ;-3.0,4;") == read_route("10,20.5;-3,4")  # one group of a split
    assert read_route("3..17..5") == Route(name="3..17..5", spawn_points=(3, 17, 5))
    assert read_route("12").spawn_points == (12,)
    path = tmp_path / "round the park.txt"
    path.write_text("# x, y of CARLA\n10,20.5\n\n-3,4,0.5  # with a height\n")
    assert read_route(str(path)) == Route(name="round the park", points=places)


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("nowhere.txt", "got 'nowhere.txt', which is no file either"),
        ("10,20;30", "for each place of the route 10,20;30, got '30'"),
        ("1,2;3,4,", None),
        ("1e999,2", "got '1e999,2'"),
        (";,;", "got ','"),
    ],
)
def test_what_is_none_is_said(text, got):
    if got is None:
        assert read_route(text).points == ((1.0, 2.0), (3.0, 4.0))
        return
    with pytest.raises(ConfigError) as caught:
        read_route(text)
    assert got in str(caught.value) and "write x,y;x,y in metres" in str(caught.value)


def test_a_file_of_anything_else_is_said(tmp_path):
    path = tmp_path / "route.txt"
    for content, got in ((b"", "got none"), (b"\x00\xff\xfe\x00", "got"), (b"a,b\n", "got 'a,b'")):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=got):
            read_route(str(path))
