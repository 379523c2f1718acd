import numpy as np
import pytest

from realmaster_live.minitown.models.materials import make_materials
from realmaster_live.minitown.truth.weathering import heights, worn


def test_stains_show_more_where_the_game_has_them_and_paint_stays_as_it_is():
    materials = make_materials()
    before, after = (
        m.texture.astype(float).mean(-1) for m in (materials["asphalt"], worn(materials["asphalt"]))
    )
    assert after.mean() == pytest.approx(before.mean(), abs=2.0)
    assert after.std() > 1.8 * before.std()
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.97
    for name in ("paint", "windows_white"):
        assert worn(materials[name]) is materials[name]


def test_water_stands_in_the_dark_patches():
    asphalt = make_materials()["asphalt"]
    high = heights(asphalt)
    assert high.min() == 0.0 and high.max() == 1.0
    grey = asphalt.texture.mean(-1)
    assert grey[high == 0.0].mean() < grey[high == 1.0].mean()
    with pytest.raises(ValueError, match="expected a texture, got none in paint"):
        heights(make_materials()["paint"])
