import cv2
import numpy as np
import pytest

from realmaster_live.training.pairs.alignment import edge_f1, edges, global_shift, measure

HEIGHT, WIDTH = 144, 256


def street(seed: int = 0) -> np.ndarray:
    """Boxes, lines and a horizon, twice the size, so that it can be moved by half a pixel."""
    rng = np.random.default_rng(seed)
    picture = np.full((2 * HEIGHT, 2 * WIDTH, 3), 150, np.uint8)
    picture[HEIGHT:] = 90
    for _ in range(24):
        x, y = rng.integers(0, 2 * WIDTH - 60), rng.integers(0, 2 * HEIGHT - 60)
        w, h = rng.integers(16, 120, 2)
        picture[y : y + h, x : x + w] = rng.integers(0, 255, 3)
    return picture


def shrunk(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def repainted(picture: np.ndarray) -> np.ndarray:
    """Other colours, less contrast, a gradient of light and grain: what an editor may do."""
    rng = np.random.default_rng(1)
    warm = picture.astype(np.float32) * (0.5, 0.45, 0.35) + (70, 60, 40)
    light = np.linspace(0.7, 1.2, picture.shape[1])[None, :, None]
    return np.clip(warm * light + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("moved", [(0, 0), (3, 0), (0, -2), (1.5, 2.5), (-7, 4)])
def test_finds_a_shift_under_another_appearance(moved) -> None:
    large = street()
    edit = np.roll(large, (int(2 * moved[1]), int(2 * moved[0])), (0, 1))
    found = global_shift(shrunk(large), repainted(shrunk(edit)))
    assert found == pytest.approx(moved, abs=0.25)


def test_edges_agree_under_another_appearance_and_not_with_another_street() -> None:
    source = shrunk(street())
    same = measure(source, repainted(source))
    assert same.edge_f1 > 0.9
    assert same.shift_px < 0.25
    assert measure(source, shrunk(street(5))).edge_f1 < 0.6


def test_a_zoom_moves_the_halves_and_not_the_whole() -> None:
    half = shrunk(street())[:, : WIDTH // 2]
    source = np.concatenate([half, half[:, ::-1]], axis=1)  # as much to see on either side
    about_centre = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 0, 1.05)
    zoomed = measure(source, repainted(cv2.warpAffine(source, about_centre, (WIDTH, HEIGHT))))
    assert np.hypot(zoomed.shift_x_px, zoomed.shift_y_px) < 1
    assert zoomed.shift_px > 2
    assert max(measure(source, repainted(source)).halves_px) < 0.5


def test_edge_f1_is_what_two_lines_say() -> None:
    one = np.zeros((20, 20), bool)
    other = one.copy()
    one[:, 5] = True
    other[:, 7] = True  # within two pixels
    assert edge_f1(one, other) == 1
    other[:, 15] = True  # half of the other has no partner: precision 1/2, recall 1
    assert edge_f1(one, other) == pytest.approx(2 / 3)
    assert edge_f1(one, np.zeros_like(one)) == 0
    assert edge_f1(np.zeros_like(one), np.zeros_like(one)) == 1


def test_a_flat_picture_has_no_edges() -> None:
    assert not edges(np.full((32, 32, 3), 128, np.uint8)).any()
