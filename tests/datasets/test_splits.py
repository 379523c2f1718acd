"""Whole towns, routes, weathers and seeds on one side each."""

from collections import Counter

import pytest

from realmaster_live.datasets.options import SplitRule
from realmaster_live.datasets.splits import assign_splits, group_of
from realmaster_live.errors import ConfigError
from realmaster_live.recording import About


def towns(count, drives=3):
    return {
        f"drive{town}-{drive}": About(town=f"Town{town:02d}", seed=drive, route=f"r{drive}")
        for town in range(count)
        for drive in range(drives)
    }


def test_towns_stay_whole_and_shares_are_met():
    abouts = towns(10)
    splits = assign_splits(abouts, SplitRule(by="town", shares=(0.8, 0.1, 0.1)))
    sides = {}
    for name, split in splits.items():
        sides.setdefault(abouts[name].town, set()).add(split)
    assert all(len(found) == 1 for found in sides.values())
    assert Counter(splits.values()) == {"train": 24, "val": 3, "test": 3}


def test_the_draw_depends_on_names_alone():
    abouts = towns(7)
    rule = SplitRule(shares=(0.6, 0.2, 0.2))
    backwards = dict(reversed(abouts.items()))
    assert assign_splits(abouts, rule) == assign_splits(backwards, rule)
    drawn = {
        tuple(assign_splits(abouts, SplitRule(shares=(0.6, 0.2, 0.2), salt=str(n))).values())
        for n in range(5)
    }
    assert len(drawn) > 1


@pytest.mark.parametrize(("by", "groups"), [("route", 9), ("seed", 9), ("town", 3)])
def test_other_groups(by, groups):
    splits = assign_splits(towns(3), SplitRule(by=by, shares=(1 / 3, 1 / 3, 1 / 3)))
    assert Counter(splits.values()) == dict.fromkeys(("train", "val", "test"), 3)
    if by == "town":
        assert groups == 3


def test_a_named_group_keeps_its_split():
    rule = SplitRule(shares=(0.5, 0.5), test=("Town02",), val=("Town00",))
    splits = assign_splits(towns(4, drives=1), rule)
    assert splits["drive2-0"] == "test" and splits["drive0-0"] == "val"
    assert Counter(splits.values())["train"] == 2


def test_what_is_not_named_trains():
    assert Counter(assign_splits(towns(2, 1), SplitRule(test=("Town01",))).values()) == {
        "train": 1,
        "test": 1,
    }
    only = {"a": About(town="Town01")}
    assert assign_splits(only, SplitRule(test=("Town01",))) == {"a": "test"}


def test_without_a_rule_everything_trains():
    assert set(assign_splits(towns(2), SplitRule()).values()) == {"train"}
    assert assign_splits({"a": About()}, SplitRule()) == {"a": "train"}


@pytest.mark.parametrize(
    ("abouts", "rule", "message"),
    [
        (towns(2), {"shares": (0.8, 0.1, 0.1)}, "at least one town for each of train, val, test"),
        ({"a": About()}, {"shares": (0.5, 0.5)}, "a town in meta.json of every recording"),
        (towns(2), {"test": ("Town09",)}, "a town among Town00, Town01, got Town09"),
        ({"a": About(town="T")}, {"by": "seed", "shares": (0.5, 0.5)}, "a seed in meta.json"),
    ],
)
def test_splits_that_cannot_be_made(abouts, rule, message):
    with pytest.raises(ConfigError, match=message):
        assign_splits(abouts, SplitRule(**rule))


@pytest.mark.parametrize("shares", [(0.8, 0.1), (1.2, -0.2), (), (0.25,) * 4])
def test_shares_that_are_no_whole(shares):
    with pytest.raises(ConfigError, match="shares that add up to 1"):
        SplitRule(shares=shares)


def test_a_town_in_two_splits():
    with pytest.raises(ConfigError, match="each town in one split, got Town01 in several"):
        SplitRule(train=("Town01",), test=("Town01",))


def test_maps_with_and_without_opt_are_one_town():
    abouts = {name: About(town=name) for name in ("Town03", "Town03_Opt", "Town04", "Town10HD_Opt")}
    for seed in range(8):
        splits = assign_splits(abouts, SplitRule(shares=(0.5, 0.5), salt=str(seed)))
        assert splits["Town03"] == splits["Town03_Opt"]
    named = assign_splits(abouts, SplitRule(val=("Town03_Opt",), test=("Town10HD",)))
    assert (named["Town03"], named["Town10HD_Opt"], named["Town04"]) == ("val", "test", "train")
    with pytest.raises(ConfigError, match="Town03 in several"):
        SplitRule(train=("Town03",), val=("Town03_Opt",))
    route = group_of(About(town="Town03_Opt", route="round"), "route")
    assert route == group_of(About(town="Town03", route="round"), "route")
