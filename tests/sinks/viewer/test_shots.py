from dataclasses import replace

import numpy as np
import pytest

from realmaster_live.sinks.viewer.shots import Gathering


def told(moments):
    return [{name: shot.frame_id for name, shot in moment.items()} for moment in moments]


@pytest.fixture
def gathering():
    gathering = Gathering()
    gathering.expect(["front", "left"])
    return gathering


def test_what_one_tick_showed_is_one_moment(gathering, rig_at):
    front, left = rig_at(0)
    assert gathering.add(front) == []
    moments = gathering.add(left)
    assert told(moments) == [{"front": 1000 + k, "left": 1000 + k} for k in range(4)]
    shot = moments[2]["left"]
    assert shot.size == (96, 64)
    assert np.array_equal(shot.realized, left.frames[2])
    assert np.array_equal(shot.rendered, left.rendered[2])
    assert np.shares_memory(shot.realized, left.frames)  # nothing is copied
    assert shot.labels["depth"].shape == (64, 96)


def test_a_tick_that_lacks_a_camera_is_shown_when_the_next_one_comes(gathering, rig_at):
    gathering.add(rig_at(0)[0])
    moments = gathering.add(rig_at(1)[0])
    assert told(moments) == [{"front": 1000 + k} for k in range(4)]
    assert len(gathering.add(rig_at(1)[1])) == 4


def test_cameras_that_nobody_announced_come_into_step(rig_at):
    gathering = Gathering()
    seen = [told(gathering.add(chunk)) for index in range(3) for chunk in rig_at(index)]
    assert seen[0] == [{"front": 1000 + k} for k in range(4)]
    assert seen[-1] == [{"front": 1008 + k, "left": 1008 + k} for k in range(4)]
    assert sum(map(len, seen)) <= 16


def test_the_simulators_own_picture_stands_in_where_nothing_was_realized(chunk_at):
    chunk = replace(chunk_at(0), rendered=None)
    (moment, *_) = Gathering().add(chunk)
    assert moment["front"].rendered is not None
    assert np.array_equal(moment["front"].rendered, moment["front"].realized)
