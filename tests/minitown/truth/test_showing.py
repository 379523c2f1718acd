from dataclasses import replace

import numpy as np
import pytest

from realmaster_live.minitown.models.town import build_town
from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.raster.rasteriser import Rasteriser
from realmaster_live.minitown.truth import showing as module
from realmaster_live.minitown.truth.drives import drive, plan_drive
from realmaster_live.minitown.truth.showing import KINDS, amount, showing

SHAPE = {"frames": 3, "width": 96, "height": 56, "dt": 0.05}


@pytest.fixture(scope="module")
def town():
    scene = build_town(make_network(1000))
    return scene.models, Rasteriser(scene)


def test_a_drive_ends_where_most_of_a_kind_is_seen(town, monkeypatch):
    monkeypatch.setattr(module, "SEARCH_S", 2.0)
    monkeypatch.setattr(module, "LEAST_SHARE", 0.0)
    models, rasteriser = town
    plan = replace(plan_drive(1000, 3), warm_up_s=0.5)
    moments = list(drive(plan, **SHAPE | {"frames": 43}))
    seen = [amount("walkers", models, rasteriser, moment) for moment in moments[2::10]]
    found, shown = showing(plan, "walkers", models, rasteriser, **SHAPE)
    assert max(seen) > min(seen)  # or this drive says nothing
    assert amount("walkers", models, rasteriser, shown[-1]) == max(seen)
    assert found.warm_up_s == pytest.approx(plan.warm_up_s + 0.5 * np.argmax(seen))
    again = list(drive(found, **SHAPE))
    for (_, view), (_, same) in zip(shown, again, strict=True):
        assert np.array_equal(view.cam_to_world, same.cam_to_world)


def test_a_drive_that_shows_nothing_of_a_kind_is_told(town, monkeypatch):
    monkeypatch.setattr(module, "SEARCH_S", 0.0)
    models, rasteriser = town
    plan = replace(plan_drive(1000, 3), warm_up_s=0.5)
    (moment,) = drive(plan, **SHAPE | {"frames": 1})
    none = [kind for kind in KINDS if not amount(kind, models, rasteriser, moment)]
    assert none  # or this drive says nothing
    for kind in none:
        assert showing(plan, kind, models, rasteriser, **SHAPE)[1] is None
