"""The distance between patches of the same layout, against values by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from realmaster_live.training.evaluate.drives.films import RENDER
from realmaster_live.training.evaluate.measures.patches import (
    ACROSS,
    FROM_FILM,
    PatchDistance,
    cut,
    layouts,
    matches,
    places,
)
from realmaster_live.training.evaluate.metrics import kid

SKY, ROAD = 0, 1


class Halves:
    """Takes what is bright for sky, and the rest for road."""

    group_of = np.arange(256)

    def predict(self, picture):
        is_sky = (picture.mean(2) > 127).astype(np.float32)
        return SimpleNamespace(share=np.stack([is_sky, 1 - is_sky]))


def colours(patches):
    """Two levels of features: the mean colour, and its square."""
    mean = patches.mean((1, 2)).astype(np.float32) / 255
    return [mean, mean**2]


def picture(level, draw):
    """A bright upper half and a dark lower one, with a tint."""
    image = np.zeros((64, 96, 3), np.uint8)
    image[:32] = (200, 210, level)
    image[32:] = (level // 2, 40, 30)
    return (image + draw.integers(0, 8, image.shape)).astype(np.uint8)


def test_a_layout_is_the_nearest_pixel_of_each_cell():
    groups = np.zeros((32, 32), np.int64)
    groups[16:] = ROAD
    [whole] = layouts(groups, np.array([[0, 0, 32]]))
    np.testing.assert_array_equal(whole, np.repeat([SKY, ROAD], ACROSS // 2)[:, None] + 0 * whole)
    at = places(np.zeros((64, 96, 3), np.uint8), 50, seed=1)
    assert (at[:, 2] == 16).all() and at[:, 0].max() <= 48 and at[:, 1].max() <= 80


def test_the_most_similar_layout_is_found_and_its_share():
    film = np.zeros((2, ACROSS, ACROSS), np.int8)
    film[1, :4] = ROAD
    known = np.zeros((3, ACROSS, ACROSS), np.int8)
    known[0] = ROAD
    known[1, :8] = ROAD
    best, alike = matches(film, known)
    np.testing.assert_array_equal(best, [2, 1])  # all sky; and a quarter of road nearest a half
    np.testing.assert_allclose(alike, [1, 0.75])
    best, _ = matches(film[[0, 0, 0, 0]], known[[0, 2, 2, 2]])
    np.testing.assert_array_equal(best, [1, 2, 3, 1])  # equally similar ones take turns


def test_a_film_like_the_photographs_is_at_no_distance_and_each_match_is_a_sample():
    draw = np.random.default_rng(0)
    measure = PatchDistance.to([picture(60, draw) for _ in range(12)], colours, Halves())
    films = {RENDER: 20, "film": 60}
    kept = {name: [] for name in films}
    groups = (np.repeat([SKY, ROAD], 32)[:, None] + np.zeros((64, 96))).astype(np.uint8)
    for number in range(12):
        sample = SimpleNamespace(frame_id=number, labels={"semantic": groups})
        for name, level in films.items():
            made = picture(level, draw)
            measure.add(name, made, sample, number)
            kept[name].append(cut(made, places(made, FROM_FILM, seed=number)))
    found, skipped = measure.values(list(films))
    assert not skipped
    shown = [layouts(groups, places(picture(0, draw), FROM_FILM, n)) for n in range(12)]
    best, alike = matches(np.concatenate(shown), measure.known)
    assert (alike >= 0.5).all()
    for name in films:
        own, theirs = colours(np.concatenate(kept[name])), [x[best] for x in measure.real]
        levels = [kid(x, y) for x, y in zip(own, theirs, strict=True)]
        # KID also compares a patch that was taken twice with itself
        assert found[name]["sKVD x1000"].value == pytest.approx(1000 * np.mean(levels), abs=3)
    assert abs(found["film"]["sKVD x1000"].value) < 5
    assert found[RENDER]["sKVD x1000"].value > found["film"]["sKVD x1000"].value + 5
