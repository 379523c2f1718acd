"""Recipes of drives: what they combine, and what is wrong with them."""

import pytest

from realmaster_live.collect.recipe import plan_drives, read_recipe
from realmaster_live.errors import ConfigError

RECIPE = """
engine = "identity"
seconds = 5

[[drives]]
towns = ["MiniTown1", "MiniTown2"]
weathers = ["ClearNoon", "HardRainNoon"]
times = ["day", "night"]
seeds = [1, 2]

[[drives]]
towns = ["MiniTown1"]
routes = ["loop.txt", "10,20;30,40"]
seconds = 9
"""


def planned(tmp_path, text):
    (tmp_path / "recipe.toml").write_text(text)
    recipe = read_recipe(tmp_path / "recipe.toml")
    return recipe, plan_drives(recipe, tmp_path)


def test_every_combination_is_a_drive_of_its_own(tmp_path):
    (tmp_path / "loop.txt").write_text("1,2\n3,4\n")
    recipe, drives = planned(tmp_path, RECIPE)
    assert (recipe.engine, recipe.address, recipe.cameras().cameras[0].width) == (
        "identity",
        None,
        512,
    )
    assert len(drives) == len({drive.name for drive in drives}) == 16 + 2
    assert drives[0].name == "MiniTown1-ClearNoon-day-s1"
    assert [drive.seconds for drive in drives] == [5.0] * 16 + [9.0] * 2
    loop, places = drives[-2:]
    assert loop.name == "MiniTown1-ClearNoon-s0-loop"
    assert loop.route.points == ((1.0, 2.0), (3.0, 4.0))
    assert places.route.name == "10,20;30,40"
    assert all(char.isalnum() or char in "-_" for char in places.name)


def test_a_rig_and_a_server_are_named(tmp_path):
    (tmp_path / "two.toml").write_text('[[camera]]\nname = "left"\n[[camera]]\nname = "right"\n')
    text = 'rig = "two.toml"\nserver = "carla-1:2000"\n[[drives]]\ntowns = ["Town03"]\n'
    recipe, drives = planned(tmp_path, text)
    assert recipe.address == ("carla-1", 2000)
    assert [camera.name for camera in recipe.cameras().cameras] == ["left", "right"]
    assert drives[0].name == "Town03-ClearNoon-s0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("engine", "egnine"), r"got 'egnine' \(did you mean engine\?\)"),
        (
            ("weathers", "weather"),
            r"keys of drives 1 .*'weather' \(did you mean weathers",
        ),
        (("seconds = 5", "seconds = 0"), "expected seconds above 0 in .*, got 0"),
        (("seconds = 5", 'seconds = "5"'), r"Expected `float`, got `str` - at `\$.seconds`"),
        (('"MiniTown2"', '"Town03"'), "expected towns such as MiniTown7 in .*, got 'Town03'"),
        (('"night"', '"midnight"'), "Invalid enum value 'midnight'"),
        (("seconds = 5", 'server = "here"'), "expected server minitown or HOST:PORT in .*'here'"),
        (("seconds = 5", 'size = "big"'), "expected size a size such as 512x288"),
        (("seconds = 5", 'labels = ["semantics"]'), "expected labels among depth"),
        (("seeds = [1, 2]", "seeds = []"), "expected seeds in each drives"),
        (("loop.txt", "lop.txt"), "got 'lop.txt', which is no file either"),
        (("[1, 2]", "[1, 1]"), "expected each drive once, got MiniTown1 ClearNoon day s1"),
        (("seconds = 5", "seconds ="), "expected a recipe of drives in"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path, change, message):
    (tmp_path / "loop.txt").write_text("1,2\n")
    with pytest.raises(ConfigError, match=message) as caught:
        planned(tmp_path, RECIPE.replace(*change, 1))
    assert "\n" not in str(caught.value)


def test_a_recipe_that_is_none(tmp_path):
    with pytest.raises(ConfigError, match=r"recipe of drives in .*nowhere.toml, got No such file"):
        read_recipe(tmp_path / "nowhere.toml")
    with pytest.raises(ConfigError, match="missing required field `drives`"):
        planned(tmp_path, "seconds = 5\n")
