import dataclasses

import numpy as np
import pytest
from installed import needs

from realmaster_live.minitown.raster.rasteriser import Rasteriser
from realmaster_live.minitown.scene import Weather
from realmaster_live.minitown.truth.pathtrace import PathTracer, newest_llvm

pytestmark = needs("mitsuba", "pyoidn")

NOON = Weather(sun_altitude_angle=60.0, sun_azimuth_angle=90.0, cloudiness=0.0)


@pytest.fixture(scope="module")
def tracer(street):
    return PathTracer(street, spp=2)


def test_an_llvm_that_is_too_old_is_never_chosen():
    found = newest_llvm()
    assert found is None or not any(f"-{n}." in found.name for n in (13, 14, 15))


@pytest.mark.slow
def test_pixels_coincide_with_the_rasteriser(street, tracer, frame, car, camera):
    state, view = frame(car(wheel_spin=0.4, yaw_deg=20.0)), camera(y=-0.7, yaw_deg=8.0)
    drawn = Rasteriser(street, shadow_size=0).render(state, view)
    traced = tracer.depth(state, view)
    both = np.isfinite(drawn.depth) & np.isfinite(traced)
    error = np.abs(traced[both] / drawn.depth[both] - 1)
    assert np.median(error) < 1e-4
    assert np.mean(error < 1e-2) > 0.99
    assert np.mean(np.isfinite(drawn.depth) == np.isfinite(traced)) > 0.99


@pytest.mark.slow
def test_the_same_state_gives_the_same_photograph(tracer, frame, car, camera):
    view = camera(width=48, height=27)
    first = tracer.render(frame(car(), weather=NOON), view)
    tracer.render(frame(car(x=20.0), weather=NOON), view)
    assert np.array_equal(first, tracer.render(frame(car(), weather=NOON), view))
    assert first.shape == (27, 48, 3)
    assert 50 < first.mean() < 205


@pytest.mark.slow
def test_paint_lamps_and_night_show(tracer, frame, car, camera):
    view = camera(width=48, height=27)
    green = tracer.render(frame(car(x=8.0, paint=(0.05, 0.6, 0.1)), weather=NOON), view)
    red = tracer.render(frame(car(x=8.0), weather=NOON), view)
    assert (red.astype(int) - green)[12:20, 22:32, 0].max() > 40
    night = dataclasses.replace(NOON, sun_altitude_angle=-30.0)
    lit = tracer.render(frame(car(x=8.0, lit=frozenset({"brake_light"})), weather=night), view)
    unlit = tracer.render(frame(car(x=8.0), weather=night), view)
    assert unlit.mean() < 0.6 * red.mean()
    assert (lit.astype(int) - unlit)[..., 0].max() > 60
