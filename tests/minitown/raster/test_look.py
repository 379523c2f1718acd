"""Looks by their names: A and B, those drawn from a number, and each without antialiasing."""

import pytest

from realmaster_live.errors import ConfigError
from realmaster_live.minitown.raster.look import LOOK_A, LOOK_B, draw_look, look_named
from realmaster_live.minitown.server.config import ServerConfig


def test_a_name_gives_its_look():
    assert look_named("A") is LOOK_A and look_named("B") is LOOK_B
    assert look_named("drawn-12") == draw_look(12)
    assert len({look_named(f"drawn-{n}").palette for n in range(5)}) == 5


@pytest.mark.parametrize("name", ["A", "B", "drawn-3"])
def test_the_aliased_look_differs_by_how_often_it_samples_alone(name):
    smooth, aliased = look_named(name), look_named(f"{name}-aliased")
    changed = {key for key in vars(smooth) if getattr(smooth, key) != getattr(aliased, key)}
    assert changed - {"anisotropy"} == {"name", "samples"}
    assert (smooth.samples, aliased.samples, aliased.name) == (2, 1, f"{name}-aliased")
    assert aliased.anisotropy == 1


@pytest.mark.parametrize("name", ["", "C", "drawn-", "drawn-x", "drawn-²", "12", "-aliased", "a"])
def test_other_names_are_refused_with_those_that_exist(name):
    with pytest.raises(ConfigError, match="expected the look A, B or drawn-N"):
        look_named(name)
    with pytest.raises(ConfigError, match="expected the look A, B or drawn-N"):
        ServerConfig(look=name)
