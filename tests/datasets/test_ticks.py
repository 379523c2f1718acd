"""Ticks of several cameras: whole ones only, and every other picture is accounted for."""

from collections import Counter
from dataclasses import replace

from driven_scene import FPS, SIZE, driven_chunk

from realmaster_live import ChunkSpec
from realmaster_live.datasets import Rules, Selection
from realmaster_live.datasets.selection import open_drives
from realmaster_live.datasets.ticks import ticks
from realmaster_live.recording import About, Recorder


def record(folder, plan):
    """Plan: (camera, chunk, trust) in the order of writing."""
    spec = ChunkSpec(frames=4, width=SIZE[0], height=SIZE[1], fps=FPS)
    with Recorder(folder, spec, about=About()) as recorder:
        for camera, index, trust in plan:
            recorder.write(driven_chunk(index, camera, trust=trust))
    return folder


def test_a_tick_is_given_where_every_camera_has_it_and_the_rule_keeps_it(tmp_path):
    plan = [
        ("front", 0, 0.9), ("back", 0, 0.9),
        ("front", 1, 0.9), ("back", 1, 0.2),  # of little trust
        ("front", 2, 0.9),  # the other camera lost this chunk
        ("front", 3, 0.9), ("back", 3, 0.9),
        ("front", 4, 0.9),
    ]  # fmt: skip
    folder = record(tmp_path / "drive", plan)
    selection = Selection(recordings=(folder,), rules=Rules(min_frame_trust=0.5))
    (drive,) = open_drives(selection, "nuscenes", ())
    left_out: Counter[str] = Counter()
    found = list(ticks(drive, selection, ("depth",), left_out=left_out))
    assert [[one.frame.frame_id for one in tick.samples] for tick in found] == [
        [number, number] for number in (*range(1000, 1004), *range(1012, 1016))
    ]
    assert [one.frame.camera for one in found[0].samples] == ["front", "back"]
    assert set(found[0].samples[0].frame.labels) == {"depth"}
    assert left_out["low trust"] == 8
    assert left_out["not in every camera"] == 8


def test_one_camera_gives_all_its_frames(tmp_path):
    folder = record(tmp_path / "drive", [("front", index, None) for index in range(2)])
    selection = replace(Selection(recordings=(folder,)), every=3)
    (drive,) = open_drives(selection, "lerobot", ())
    left_out: Counter[str] = Counter()
    found = [tick.samples[0].frame.frame_id for tick in ticks(drive, selection, left_out=left_out)]
    assert found == [1000, 1003, 1006]
    assert not left_out
