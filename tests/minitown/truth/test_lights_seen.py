import numpy as np
import pytest

from realmaster_live.minitown.models.catalogue import make_models
from realmaster_live.minitown.scene import CameraView, Instance, SceneState, Weather
from realmaster_live.minitown.truth.lights_seen import is_readable, lights_seen

GREEN = frozenset({"lamp_green"})


def turned(x, y, yaw_deg):
    pose = np.eye(4)
    c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    pose[:2, :2] = [[c, -s], [s, c]]
    pose[:2, 3] = x, y
    return pose


def state_with(yaw_deg, lit=GREEN):
    light = Instance(
        actor_id=5, model="traffic_light", model_to_world=turned(10.0, 2.0, yaw_deg), lit=lit
    )
    return SceneState(town_seed=0, frame=1, time_s=0.0, weather=Weather(), instances=(light,))


@pytest.fixture(scope="module")
def models():
    return make_models()


VIEW = CameraView(cam_to_world=turned(0.0, 0.0, 0.0), width=512, height=288, fov_deg=90.0)
VIEW.cam_to_world[2, 3] = 2.5


def lens_depth(distance):
    """A depth buffer in which nothing is nearer than the lenses."""
    return np.full((288, 512), distance, np.float32)


def test_a_light_is_where_its_geometry_says(models):
    """Its face at 10 - 0.285 m, its green lens 2.54 m up and 2 m to the right; focal 256."""
    seen = lights_seen(models, state_with(180.0), VIEW, lens_depth(10 - 0.285))
    light = next(light for light in seen if light["head"] == 0)
    assert light["state"] == "green" and light["light"] == 5
    assert light["distance_m"] == pytest.approx(9.7, abs=0.05)
    left, top, right, bottom = light["lamps"]["green"]
    assert (left + right) / 2 == pytest.approx(256 + 256 * 2 / 9.715, abs=0.3)
    assert (top + bottom) / 2 == pytest.approx(144 - 256 * 0.04 / 9.715, abs=0.3)
    assert right - left == pytest.approx(256 * 0.23 / 9.715, rel=0.05)
    assert light["lamps"]["red"][1] < light["lamps"]["yellow"][1] < top
    assert light["visible"] == 1.0 and is_readable(light)


def test_what_is_hidden_turned_away_or_dark_is_not_listed(models):
    assert lights_seen(models, state_with(180.0), VIEW, lens_depth(3.0)) == []
    assert lights_seen(models, state_with(0.0), VIEW, lens_depth(10.285)) == []
    assert lights_seen(models, state_with(180.0, frozenset()), VIEW, lens_depth(9.715)) == []


def test_half_a_lens_is_half_visible(models):
    depth = lens_depth(9.715)
    whole = lights_seen(models, state_with(180.0), VIEW, depth)[0]
    left, _, right, _ = whole["lamps"]["green"]
    depth[:, : round((left + right) / 2)] = 1.0
    half = lights_seen(models, state_with(180.0), VIEW, depth)[0]
    assert half["visible"] == pytest.approx(0.5, abs=0.2)


def test_a_far_light_is_too_small_to_read(models):
    far = CameraView(cam_to_world=VIEW.cam_to_world.copy(), width=512, height=288, fov_deg=90.0)
    far.cam_to_world[0, 3] = -40.0
    seen = lights_seen(models, state_with(180.0), far, lens_depth(49.715))
    assert all(not is_readable(light) for light in seen)
