"""What tests of several verbs share."""

import pytest


@pytest.fixture
def car(blank_minitown):
    """A town with a car to attach to, and another one behind it."""
    client = blank_minitown.client()
    world = client.get_world()
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    blueprint.set_attribute("role_name", "hero")
    hero = next(
        car
        for place in world.get_map().get_spawn_points()
        if (car := world.try_spawn_actor(blueprint, place))
    )
    world.wait_for_tick(5.0)
    yield blank_minitown, hero
    hero.destroy()
    world.wait_for_tick(5.0)
