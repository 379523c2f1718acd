"""Boxes, links and visibility of things, on drawn scenes whose values are worked out by hand.

The camera stands 1.5 m above the ground and looks along the world's x; focal 100 px, 200 x 120.
"""

import math

import numpy as np
import pytest

from realmaster_live.annotations import annotate, pixels_of
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.frames.objects import SceneObject

SIZE = (200, 120)
K = np.array([[100.0, 0, 100], [0, 100, 60], [0, 0, 1]])
POSE = np.eye(4)
POSE[:3, :3] = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]
POSE[2, 3] = 1.5


def thing(number, kind, size, at, *, yaw_deg=0.0, mask_id=None):
    turn, place = math.radians(yaw_deg), np.eye(4)
    place[:2, :2] = [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
    place[:3, 3] = at
    return SceneObject(
        object_id=number,
        class_id=CLASS_IDS[kind],
        type_id=kind,
        size=np.array(size, np.float64),
        object_to_world=place,
        velocity=np.zeros(3),
        mask_id=number if mask_id is None else mask_id,
    )


def car(number=7, at=(12.0, 0.0, 1.5), **options):
    """4 m long, 2 m wide, 1.6 m high: seen from behind its face is 10 m away for x = 12."""
    return thing(number, "car", (4.0, 2.0, 1.6), at, **options)


class Canvas:
    """Labels that are painted patch by patch, the nearest last."""

    def __init__(self):
        self.depth = np.full(SIZE[::-1], 1000.0, np.float32)
        self.instance = np.zeros(SIZE[::-1], np.int32)

    def patch(self, left, top, right, bottom, depth_m, kind=None, number=0):
        part = np.s_[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        self.depth[part] = depth_m
        self.instance[part] = 0 if kind is None else CLASS_IDS[kind] << 16 | number
        return self

    @property
    def labels(self):
        return {"depth": self.depth, "instance": self.instance}


def seen(objects, canvas=None, **changes):
    labels = (canvas or Canvas()).labels | changes
    labels = {name: label for name, label in labels.items() if label is not None}
    return annotate(tuple(objects), labels, POSE, K, SIZE)


def test_a_box_is_projected_from_its_full_size():
    # the near face: 10 m away, 2 m wide, 1.6 m high, level with the camera
    one = seen([car()], Canvas().patch(90, 52, 110, 68, 10.0, "car", 7))[0]
    assert one.amodal == pytest.approx((90, 52, 110, 68))
    assert one.visible == (90, 52, 110, 68) and one.pixels == 20 * 16
    assert (one.mask_id, one.class_id) == (7, 14) and one.thing.object_id == 7
    assert (one.occlusion, one.truncation) == (0, 0)
    assert one.distance_m == pytest.approx(12.0)


def test_half_a_size_does_not_hold_the_mask():
    """CARLA's extent taken for the size gives a box of half the width: the trap shows."""
    half = thing(7, "car", (2.0, 1.0, 0.8), (12.0, 0.0, 1.5))
    one = seen([half], Canvas().patch(90, 52, 110, 68, 10.0, "car", 7))[0]
    wide = one.amodal[2] - one.amodal[0]
    assert wide == pytest.approx(2 * 100 * 0.5 / 11.0)  # not the mask's 20 pixels
    assert one.visible is None or one.visible[2] - one.visible[0] > 1.9 * wide


def test_a_box_partly_behind_the_camera_stays_finite():
    # from 2 m behind the camera to 8 m before it, 1.5 m to the right: it leaves the picture
    beside = thing(7, "truck", (10.0, 1.0, 2.0), (3.0, -2.0, 1.5))
    one = seen([beside])[0]
    left, top, right, bottom = one.amodal
    assert left == pytest.approx(100 + 100 * 1.5 / 8)
    assert (right, top, bottom) == (2 * 200, -120, 2 * 120)  # a picture's size beyond the edge
    inside, whole = (200 - left) * 120, (right - left) * (bottom - top)
    assert one.truncation == pytest.approx(1 - inside / whole)
    assert np.isfinite(one.occlusion)


def test_what_is_behind_beside_or_too_small_is_not_annotated():
    assert not seen([car(at=(-12.0, 0.0, 1.5))])
    assert not seen([car(at=(12.0, 40.0, 1.5))])
    assert not seen([car(at=(900.0, 0.0, 1.5))])


def test_truncation_is_the_share_outside_the_picture():
    # the near face from x = -10 to 10: half of it is outside
    one = seen([car(at=(12.0, 10.0, 1.5))], Canvas().patch(0, 52, 10, 68, 10.0, "car", 7))[0]
    left, _, right, _ = one.amodal
    assert left == pytest.approx(-10)
    assert one.truncation == pytest.approx(10 / (right - left))
    assert one.visible == (0, 52, 10, 68)


def test_occlusion_is_the_share_of_rays_that_end_before_the_box():
    canvas = Canvas().patch(90, 52, 110, 68, 10.0, "car", 7)
    canvas.patch(90, 40, 95, 80, 5.0, "pole", 3)  # a post hides a quarter
    one = seen([car()], canvas)[0]
    assert one.occlusion == pytest.approx(0.25, abs=0.03)
    assert one.visible == (95, 52, 110, 68) and one.pixels == 15 * 16
    canvas.patch(80, 40, 120, 80, 5.0, "wall", 4)
    hidden = seen([car()], canvas)[0]
    assert (hidden.occlusion, hidden.pixels, hidden.visible) == (1.0, 0, None)
    assert hidden.mask_id == 0 and hidden.amodal == pytest.approx((90, 52, 110, 68))


def test_what_touches_a_box_does_not_hide_it():
    canvas = Canvas().patch(90, 52, 110, 60, 10.0, "car", 7)
    canvas.patch(90, 60, 110, 68, 9.9)  # the road rises 10 cm before it
    assert seen([car()], canvas)[0].occlusion == 0.0


@pytest.mark.parametrize("claim", [0, 9, 8])
def test_a_mask_is_found_by_geometry_where_its_number_is_not_known_or_wrong(claim):
    # 8 is another car's mask, 9 is nobody's
    canvas = Canvas().patch(90, 52, 110, 68, 10.0, "car", 7).patch(140, 52, 160, 68, 10.0, "car", 8)
    one = seen([car(mask_id=claim)], canvas)[0]
    assert (one.mask_id, one.visible) == (7, (90, 52, 110, 68))


def test_of_two_things_that_claim_one_mask_the_one_inside_gets_it():
    near, far = car(1, mask_id=7), car(2, (40.0, 0.0, 1.5), mask_id=7)
    found = seen([far, near], Canvas().patch(90, 52, 110, 68, 10.0, "car", 7))
    assert {one.thing.object_id: one.mask_id for one in found} == {1: 7, 2: 0}


def test_the_class_of_a_mask_must_be_the_things():
    canvas = Canvas().patch(90, 52, 110, 68, 10.0, "truck", 7)
    found = seen([car()], canvas)
    assert [(one.thing is None, one.class_id, one.pixels) for one in found] == [
        (False, CLASS_IDS["car"], 0),
        (True, CLASS_IDS["truck"], 320),
    ]


def test_without_depth_masks_are_found_by_overlap():
    canvas = Canvas().patch(90, 52, 110, 68, 10.0, "car", 7).patch(20, 52, 40, 68, 10.0, "car", 8)
    found = seen([car(mask_id=0)], canvas, depth=None)
    assert [(one.mask_id, one.thing is None) for one in found] == [(7, False), (8, True)]
    assert found[0].occlusion == 0.0 and math.isnan(found[1].distance_m)


def test_without_an_instance_label_boxes_remain():
    depth = np.full(SIZE[::-1], 5.0, np.float32)
    one = seen([car()], depth=depth, instance=None)[0]
    assert (one.pixels, one.visible, one.mask_id) == (0, None, 0)
    assert one.occlusion == 1.0 and one.amodal == pytest.approx((90, 52, 110, 68))
    assert seen([car()], depth=None, instance=None)[0].occlusion == 0.0


def test_a_pedestrian():
    walker = thing(5, "pedestrian", (0.5, 0.5, 1.86), (10.25, 2.0, 0.93))
    canvas = Canvas().patch(78, 57, 82, 75, 10.0, "pedestrian", 5)
    one = seen([walker], canvas)[0]
    assert one.class_id == CLASS_IDS["pedestrian"] and one.pixels == 4 * 18
    assert one.amodal == pytest.approx((100 - 22.5, 60 - 3.6, 100 - 175 / 10.5, 60 + 15))


def test_a_foot_that_steps_into_the_picture_is_its_walkers():
    # the box ends 3 px left of the picture; a foot reaches 0.4 m out of it
    walker = thing(5, "pedestrian", (0.5, 0.5, 1.86), (3.0, 3.6, 0.93))
    canvas = Canvas().patch(0, 105, 3, 112, 3.0, "pedestrian", 5)
    one = seen([walker], canvas)[0]
    assert (one.thing.object_id, one.pixels, one.truncation) == (5, 21, 1.0)
    assert not seen([walker])


def test_a_rider_is_an_annotation_beside_the_two_wheeler():
    bicycle = thing(6, "bicycle", (1.8, 0.6, 1.7), (10.9, 0.0, 0.85))
    canvas = Canvas().patch(97, 66, 103, 75, 10.0, "bicycle", 6)
    canvas.patch(98, 58, 102, 66, 10.2, "rider", 6)
    below, rider = seen([bicycle], canvas)
    assert (below.class_id, below.visible, below.pixels) == (19, (97, 66, 103, 75), 54)
    assert (rider.class_id, rider.visible, rider.pixels) == (13, (98, 58, 102, 66), 32)
    assert rider.thing is None and rider.amodal is None and rider.mask_id == below.mask_id == 6
    assert rider.distance_m == below.distance_m and below.amodal[1] <= 58


def test_a_two_wheeler_of_which_only_the_rider_is_seen():
    bicycle = thing(6, "bicycle", (1.8, 0.6, 1.7), (10.9, 0.0, 0.85), mask_id=0)
    below, rider = seen([bicycle], Canvas().patch(98, 58, 102, 66, 10.2, "rider", 6))
    assert (below.thing.object_id, below.pixels, below.visible) == (6, 0, None)
    assert rider.mask_id == below.mask_id == 6 and rider.pixels == 32


def test_heads_of_a_traffic_light_share_a_mask():
    size = (0.4, 0.4, 1.0)
    heads = [
        thing(1, "traffic_light", size, (10.0, 1.0, 3.0), mask_id=4),
        thing(2, "traffic_light", size, (10.0, -1.0, 3.0), mask_id=4),
    ]
    canvas = Canvas().patch(88, 40, 92, 50, 9.8, "traffic_light", 4)
    canvas.patch(108, 40, 112, 50, 9.8, "traffic_light", 4)
    left, right = seen(heads, canvas)
    assert (left.visible, left.pixels) == ((88, 40, 92, 50), 40)
    assert (right.visible, right.pixels) == ((108, 40, 112, 50), 40)
    at, mask = pixels_of(right, canvas.instance)
    assert at == (108, 40) and mask.all() and mask.shape == (10, 4)


def test_what_carries_the_camera_is_not_annotated():
    own = thing(3, "car", (4.0, 2.0, 2.0), (0.5, 0.0, 1.2))
    bonnet = Canvas().patch(60, 100, 140, 120, 1.6, "car", 3)
    assert not seen([own], bonnet)


def test_a_mask_without_a_thing_is_annotated():
    one = seen([], Canvas().patch(10, 20, 30, 40, 25.0, "bus", 0xBEEF))[0]
    assert one.thing is None and one.amodal is None
    assert (one.class_id, one.mask_id, one.pixels) == (16, 0xBEEF, 400)
    assert one.distance_m == pytest.approx(25.0)


def test_what_cannot_be_counted_is_not_annotated():
    house = thing(3, "building", (8.0, 8.0, 8.0), (30.0, 0.0, 4.0))
    assert not seen([house], Canvas().patch(80, 30, 120, 64, 26.0, "building", 3))


def test_a_mask_that_wraps_around_the_edge_has_the_whole_box():
    canvas = Canvas()
    canvas.patch(0, 50, 5, 60, 10.0, "car", 7).patch(195, 50, 200, 60, 10.0, "car", 7)
    one = seen([], canvas)[0]
    assert one.visible == (0, 50, 200, 60) and one.pixels == 100
