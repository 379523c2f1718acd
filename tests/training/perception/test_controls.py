"""Controls: strong colours keep the layout, and the map of colours is the nearest to the truth."""

import numpy as np

from realmaster_live.training.perception.augment import draw_batch
from realmaster_live.training.perception.boxes import make_boxes
from realmaster_live.training.perception.controls import (
    AUGMENTED,
    MAPPED,
    strong_colours,
    with_mapped,
)
from realmaster_live.training.perception.examples import SIM, TRUTH, Example


def examples(count=3, size=(160, 288)):
    draw = np.random.default_rng(0)
    found = []
    for number in range(count):
        sim = draw.integers(0, 256, (*size, 3), np.uint8)
        red, green, blue = np.moveaxis(sim / 255.0, -1, 0)
        truth = np.stack([0.5 * red**2 + 0.2, 0.6 * green + 0.1 * red * blue, 0.9 * blue], -1)
        found.append(
            Example(
                name=f"town{number}:0", seed=number,
                pictures={SIM: sim, TRUTH: (truth * 255 + 0.5).astype(np.uint8)},
                groups=np.zeros(size, np.uint8), boxes=make_boxes([], []),
            )
        )  # fmt: skip
    return found


def test_the_map_finds_colours_that_it_can_make():
    for each in with_mapped(examples()):
        apart = np.abs(each.pictures[MAPPED].astype(int) - each.pictures[TRUTH])
        assert apart.max() <= 2
        assert np.abs(each.pictures[SIM].astype(int) - each.pictures[TRUTH]).mean() > 20


def test_augmented_crops_are_the_plain_ones_in_other_colours():
    plain, augmented = (
        draw_batch(examples(), (variant,), seed=4, step=2, batch=4, crop=(64, 96))
        for variant in (SIM, AUGMENTED)
    )
    np.testing.assert_array_equal(plain.groups, augmented.groups)
    apart = np.abs(plain.pictures - augmented.pictures).mean((1, 2, 3))
    assert (apart > 0.02).all() and len(set(apart.round(4))) == 4, "each in its own"
    again = draw_batch(examples(), (AUGMENTED,), seed=4, step=2, batch=4, crop=(64, 96))
    np.testing.assert_array_equal(again.pictures, augmented.pictures)


def test_strong_colours_are_the_same_all_over_a_picture():
    picture = np.tile(np.array([0.2, 0.5, 0.7], np.float32), (8, 9, 1))
    found = strong_colours(picture, np.random.default_rng(1))
    assert found.shape == picture.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, np.broadcast_to(found[0, 0], found.shape), atol=1e-6)
    assert not np.allclose(found, picture, atol=0.02)
