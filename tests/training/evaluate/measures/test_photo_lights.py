"""Traffic lights by a classifier of photographs; skipped where their package is not installed."""

from importlib.util import find_spec
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from realmaster_live.errors import ConfigError, MissingDependency
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.system.pictures import write_picture
from realmaster_live.training.evaluate.drives.films import RENDER
from realmaster_live.training.evaluate.measures import photo_lights as module
from realmaster_live.training.evaluate.measures.photo_lights import (
    PACKAGE,
    LightsMeasure,
    PhotoLights,
    around,
    photo_lights,
    readable_lights,
)

COLOURS = {"red": (255, 50, 30), "yellow": (255, 200, 40), "green": (40, 230, 120)}


def drawn(state, draw, side=60):
    """A dark housing with one lamp that glows, before some background."""
    image = np.full((side, side // 2, 3), draw.integers(40, 200), np.uint8)
    image[:, :, 2] += np.uint8(draw.integers(0, 15))
    cv2.rectangle(image, (3, 2), (side // 2 - 4, side - 3), (20, 20, 20), -1)
    for place, name in enumerate(COLOURS):
        lit = COLOURS[name] if name == state else (45, 45, 45)
        middle = side // 4, round(side * (0.2 + 0.3 * place))
        cv2.circle(image, middle, side // 9, lit, -1, cv2.LINE_AA)
    noisy = image + draw.normal(0, 8, image.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def make_package(folder, *, wrong=0):
    draw = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 8)):
        for state in COLOURS:
            place = folder / f"dataset_{part}" / state
            place.mkdir(parents=True)
            for number in range(count):
                shown = "green" if part == "test" and number < wrong else state
                write_picture(place / f"{number}.png", drawn(shown, draw))
    return folder


def scene():
    picture = np.full((96, 160, 3), 120, np.uint8)
    semantic, instance = np.zeros((96, 160), np.uint8), np.zeros((96, 160), np.int32)
    objects = []
    for number, (state, left) in enumerate(zip(COLOURS, (10, 60, 110), strict=True), 1):
        span = np.s_[20:80, left : left + 30]
        picture[span] = drawn(state, np.random.default_rng(9))
        semantic[span] = CLASS_IDS["traffic_light"]
        instance[span] = CLASS_IDS["traffic_light"] << 16 | number
        objects.append(SimpleNamespace(light=state, mask_id=number))
    labels = {"semantic": semantic, "instance": instance}
    frame = SimpleNamespace(objects=(*objects, SimpleNamespace(light="red", mask_id=77)))
    return SimpleNamespace(image=picture, labels=labels, frame=frame)


def test_lights_are_read_in_films_and_yellow_apart(tmp_path):
    measure = LightsMeasure(classifier=PhotoLights(make_package(tmp_path)))
    sample = scene()
    assert [state for state, _ in readable_lights(sample)] == list(COLOURS)
    assert measure(RENDER, sample.image, sample) == {
        "photo lights": 2, "photo lights right": 2, "photo yellow": 1, "photo yellow right": 1,
    }  # fmt: skip
    film = sample.image.copy()
    film[20:80, 10:40] = film[20:80, 110:140]  # the red light turned green
    row = measure("film", film, sample)
    assert row["photo lights right"] == row["photo lights kept"] == 1
    assert row["photo lights of the render"] == 2 and row["photo yellow kept"] == 1
    assert around(film, readable_lights(sample)[0][1]).shape == (70, 34, 3)
    assert "100.0% of 8 red" in str(measure.classifier)


def test_each_head_of_a_light_is_read_by_itself(tmp_path):
    sample = scene()
    span = np.s_[20:80, 10:40]  # the head of the red light; its others are drawn far off
    for left, shown in ((44, "red"), (144, None)):
        if shown is None:  # it turns its back
            sample.image[20:80, 144:158] = 20
        else:
            sample.image[2:19, left : left + 12] = cv2.resize(sample.image[span], (12, 17))
        place = np.s_[20:80, 144:158] if shown is None else np.s_[2:19, left : left + 12]
        sample.labels["semantic"][place] = CLASS_IDS["traffic_light"]
        sample.labels["instance"][place] = CLASS_IDS["traffic_light"] << 16 | 1
    found = [(state, np.argwhere(head)[0].tolist()) for state, head in readable_lights(sample)]
    assert found == [
        ("red", [2, 44]),
        ("red", [20, 10]),
        ("yellow", [20, 60]),
        ("green", [20, 110]),
    ]
    sample.image[2:19, 44:56] = sample.image[1, 44]
    measure = LightsMeasure(classifier=PhotoLights(make_package(tmp_path)))
    assert measure(RENDER, sample.image, sample)["photo lights"] == 2, "what shows nothing is none"
    sample.labels["instance"][:2, 44:56] = CLASS_IDS["traffic_light"] << 16 | 1
    sample.labels["semantic"][:2, 44:56] = CLASS_IDS["traffic_light"]
    assert len(readable_lights(sample)) == 3, "the picture's edge cuts it"


def test_a_classifier_that_reads_its_own_test_badly_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"expected 99% of the red and green test crops .* 87\.5"):
        PhotoLights(make_package(tmp_path, wrong=2))
    with pytest.raises(ConfigError, match="expected crops of red, yellow, green lights"):
        PhotoLights(tmp_path / "none")


@pytest.mark.skipif(find_spec(PACKAGE) is None, reason="needs the extra lights")
def test_the_photographs_of_the_package_are_read():
    lights = photo_lights()
    assert lights.right["red"] > 0.99 and lights.right["green"] > 0.98
    assert lights.tested == {"red": 181, "yellow": 9, "green": 107}


def test_without_the_package_the_command_that_brings_it_is_named(monkeypatch):
    monkeypatch.setattr(module, "PACKAGE", "no_such_photographs")
    photo_lights.cache_clear()
    with pytest.raises(MissingDependency, match=r"pip install .*\[lights\]"):
        photo_lights()
