import numpy as np
import pytest

from realmaster_live.minitown.models.materials import TILES, make_materials
from realmaster_live.minitown.models.textures import noise


@pytest.fixture(scope="module")
def materials():
    return make_materials()


def test_textures_are_square_powers_of_two(materials) -> None:
    for name, material in materials.items():
        if material.texture is None:
            continue
        size = material.texture.shape[0]
        assert material.texture.shape == (size, size, 3), name
        assert material.texture.dtype == np.uint8, name
        assert size in (64, 256, 512), name
        assert material.texture.std() > 1, name
        if material.roughness_texture is not None:
            assert material.roughness_texture.shape == (size, size), name
            assert len(np.unique(material.roughness_texture)) > 1, name


@pytest.mark.parametrize("name", ["asphalt", "grass", "plaster_sand", "bark", "soil"])
def test_ground_and_walls_tile_without_a_seam(materials, name) -> None:
    texture = materials[name].texture.astype(float)
    for axis in (0, 1):
        inside = np.abs(np.diff(texture, axis=axis)).mean()
        seam = np.abs(np.take(texture, 0, axis) - np.take(texture, -1, axis)).mean()
        assert seam < 3 * inside + 1


def test_noise_repeats_by_seed_and_drops_with_its_slope() -> None:
    assert np.array_equal(noise(3, 1.0), noise(3, 1.0))
    assert not np.array_equal(noise(3, 1.0), noise(4, 1.0))
    rough, smooth = (np.abs(np.diff(noise(3, slope), axis=0)).mean() for slope in (0.2, 1.5))
    assert smooth < rough / 3


def test_every_scaled_material_exists(materials) -> None:
    assert TILES.keys() <= materials.keys()
