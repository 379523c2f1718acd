"""Recipes of ablations differ from the recipe that they are compared with in one key."""

from importlib.resources import files

import pytest

from realmaster_live.training.pairs.recipe import differences, load_recipe

RECIPES = files("realmaster_live.training") / "recipes"


@pytest.mark.parametrize(
    ("name", "key"), [("anchors", "anchors.count: 2 -> 5"), ("depth", "propagate.control")]
)
def test_an_ablation_changes_one_key(name, key):
    plain = load_recipe(RECIPES / "pairs-wan.toml").resolved()
    changed = load_recipe(RECIPES / f"pairs-wan-{name}.toml").resolved()
    [found] = differences(plain, changed)
    assert found.startswith(key)
