"""What tests of several verbs share."""

from collections.abc import Iterator
from typing import Any

import pytest


def with_car(town: Any) -> Iterator[tuple[Any, Any]]:
    """Yield a town with a car to attach to, and the car."""
    client = town.client()
    world = client.get_world()
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    blueprint.set_attribute("role_name", "hero")
    hero = next(
        car
        for place in world.get_map().get_spawn_points()
        if (car := world.try_spawn_actor(blueprint, place))
    )
    world.wait_for_tick(30.0)
    yield town, hero
    hero.destroy()
    world.wait_for_tick(30.0)


@pytest.fixture
def car(blank_minitown):
    """An undrawn town with a car to attach to."""
    yield from with_car(blank_minitown)


@pytest.fixture
def drawn_car(minitown):
    """A drawn town with a car to attach to."""
    yield from with_car(minitown)
