from dataclasses import replace

import numpy as np
import pytest

from realmaster_live.frames.objects import SceneObject
from realmaster_live.sinks.viewer.layers import boxes_of, draw_layer, layers_of
from realmaster_live.sinks.viewer.shots import Shot


def thing(distance, *, class_id=14, light="", mask_id=0, ahead=True):
    pose = np.eye(4)
    pose[2, 3] = distance if ahead else -distance  # the camera looks along z
    return SceneObject(
        object_id=1, class_id=class_id, type_id="vehicle.x", size=np.array([2.0, 2.0, 2.0]),
        object_to_world=pose, velocity=np.zeros(3), light=light, mask_id=mask_id,
    )  # fmt: skip


@pytest.fixture
def shot(chunk_at):
    chunk = replace(chunk_at(0, labels=()), cam_to_world=np.tile(np.eye(4), (4, 1, 1)))

    def make(*things):
        return Shot(chunk=replace(chunk, objects=(things,) * 4), row=2)

    return make


def test_layers_are_those_of_the_labels():
    assert layers_of(["depth", "flow", "semantic"]) == ["classes", "depth", "flow"]
    assert layers_of([]) == []


def test_a_layer_has_the_size_of_the_picture(chunk_at):
    shot = Shot(chunk=chunk_at(0), row=0)
    for layer in ("classes", "instances", "depth", "flow"):
        assert draw_layer(shot, layer).shape == (64, 96, 3)


def test_boxes_say_what_it_is_and_how_far_the_nearest_last(shot):
    boxes = boxes_of(shot(thing(10.0), thing(30.0), thing(20.0, class_id=7, light="red")))
    assert [box["text"] for box in boxes] == ["car 30 m", "red traffic light 20 m", "car 10 m"]
    left, top, right, bottom = boxes[-1]["box"]
    assert left + right == pytest.approx(1.0, abs=0.01)  # straight ahead
    assert (right - left) * 96 == pytest.approx(2 * 57.2 / 9, rel=0.02)
    assert (bottom - top) * 64 == pytest.approx(2 * 57.2 / 9, rel=0.02)
    assert boxes[1]["colour"] != boxes[0]["colour"] == boxes[2]["colour"]


def test_what_is_behind_has_no_box(shot):
    assert boxes_of(shot(thing(10.0, ahead=False))) == []


def test_a_mask_has_a_box_without_a_thing(chunk_at):
    shot = Shot(chunk=chunk_at(0), row=0)
    (box,) = boxes_of(shot)
    assert box["text"].startswith("car ")
    assert box["box"][2] * 96 == pytest.approx(20, abs=0.01)


def test_what_is_hidden_has_no_box(chunk_at):
    chunk = replace(
        chunk_at(0), cam_to_world=np.tile(np.eye(4), (4, 1, 1)), objects=((thing(60.0),),) * 4
    )
    texts = [box["text"] for box in boxes_of(Shot(chunk=chunk, row=0))]
    assert "car 60 m" not in texts  # the instance label shows no pixel of it
