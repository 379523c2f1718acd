"""`record --route --seed --licence`: data sets are split by what it states."""

import pytest

from realmaster_live.cli import main
from realmaster_live.datasets.options import SplitRule
from realmaster_live.datasets.splits import assign_splits
from realmaster_live.recording import Recording

pytestmark = pytest.mark.carla


def record(town, folder, *flags):
    world = ["--port", str(town.port), "--engine", "identity", "--size", "64x32"]
    return main(["record", str(folder), *world, "--labels", "none", *flags])


def test_a_drive_along_a_route_states_route_seed_and_licence(car, tmp_path, capsys):
    town, hero = car
    here = hero.get_world().get_map().get_waypoint(hero.get_location())
    goal = here.next(10.0)[0].transform.location
    (tmp_path / "short.txt").write_text(f"{goal.x},{goal.y}\n")
    flags = ("--route", str(tmp_path / "short.txt"), "--seed", "11", "--license", "CC-BY-4.0")
    assert record(town, tmp_path / "a", *flags) == 0
    assert "route short:" in capsys.readouterr().out
    assert record(town, tmp_path / "b", "--seed", "12", "--seconds", "0.4") == 0
    first, second = Recording(tmp_path / "a"), Recording(tmp_path / "b")
    about = first.meta.about
    assert (about.route, about.seed, about.licence) == ("short", 11, "CC-BY-4.0")
    assert first.meta.complete and 8 < len(first) < 300
    assert {sample.frame.source.route for sample in first[:]} == {"short"}
    assert first.opendrive  # what the bridge knows besides its frames
    assert (second.meta.about.route, second.meta.about.seed) == ("", 12)
    abouts = {"a": about, "b": second.meta.about}
    splits = assign_splits(abouts, SplitRule(by="seed", shares=(0.5, 0.5)))
    assert sorted(splits.values()) == ["train", "val"]


def test_a_route_that_is_none_is_refused_before_anything_is_opened(tmp_path, capsys):
    status = main(["record", str(tmp_path / "d"), "--route", "nowhere", "--port", "1"])
    assert status == 2 and "got 'nowhere', which is no file either" in capsys.readouterr().err
    status = main(["record", str(tmp_path / "d"), "--gta", "device:///dev/null", "--route", "3"])
    assert status == 2 and "expected no --route with --gta" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()
