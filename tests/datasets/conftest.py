"""Drives to export: drawn ones whose truth is known, and one through the embedded town."""

import shutil
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from driven_scene import FPS, ROADS, SIZE, driven_chunk

from realmaster_live import Chunk, ChunkSpec
from realmaster_live.frames.trust import InstanceTrust
from realmaster_live.recording import About, Recorder

TOWN_SIZE = (320, 180)


@pytest.fixture(scope="session")
def drives_once(tmp_path_factory):
    """What was recorded for some test of this process, by what was asked for."""
    return {}, tmp_path_factory.mktemp("drives")


@pytest.fixture
def drive(drives_once, tmp_path):
    """The function that leaves a drawn drive below the test's own folder.

    `low` lowers the trust in one thing, by mask_id; `labels` are those to record; other options
    are About's.
    """
    known, root = drives_once

    def copy(name="drive", **options):
        asked = name, repr(sorted(options.items()))
        if asked not in known:
            known[asked] = record(root / str(len(known)) / name, **options)
        return shutil.copytree(known[asked], tmp_path / name)

    return copy


def record(folder, *, town="Town01", chunks=2, cameras=("front",), low=None, labels=None,
           segment_s=60.0, verdict="passed", realized=True, roads=True, **about):  # fmt: skip
    width, height = SIZE
    spec = ChunkSpec(frames=4, height=height, width=width, fps=FPS)
    about = About(town=town, **about)
    opendrive = {town: ROADS} if roads else {}
    with Recorder(folder, spec, about=about, segment_s=segment_s, opendrive=opendrive) as recorder:
        for index in range(chunks):
            for camera in cameras:
                chunk = driven_chunk(index, camera, labels=labels, trust=low and 0.9)
                chunk = distrusted(chunk, low, verdict) if low else chunk
                if not realized:
                    chunk = replace(chunk, frames=chunk.rendered, rendered=None)
                recorder.write(chunk)
    return folder


def distrusted(chunk, mask_id, verdict):
    """Return a judged chunk in which one thing cannot be trusted."""
    low = InstanceTrust(
        mask_id=mask_id, pixels=50, edges=0.1, semantics=1.0, light=np.nan, score=0.1
    )
    trust = tuple(replace(one, instances=(low,), verdict=verdict) for one in chunk.trust)
    return replace(chunk, trust=trust)


@pytest.fixture
def spec_of_drives():
    """The chunks of a drawn drive."""
    width, height = SIZE
    return ChunkSpec(frames=4, height=height, width=width, fps=FPS)


@pytest.fixture(scope="session")
def town_drive(running, made_once):
    """A short drive of the embedded town at 320 x 180, realized as it was rendered."""
    pytest.importorskip("carla")
    from realmaster_live.bridges.carla.bridge import CarlaBridge
    from realmaster_live.demo.local_town import pick_ego

    width, height = TOWN_SIZE
    spec = ChunkSpec(frames=4, height=height, width=width, fps=10)
    options = {"width": width, "height": height, "fixed_delta_s": 0.1}

    def make(folder):
        with (
            running("--seed", "7", "--vehicles", "30", "--walkers", "30") as town,
            CarlaBridge(town.host, town.port, ego=pick_ego(town.port), **options) as bridge,
            Recorder(
                folder / "minitown",
                spec,
                about=About(source=bridge.info, seed=7),
                opendrive=bridge.opendrive,
            ) as recorder,
        ):
            frames = bridge.frames()
            for index in range(8):
                recorder.write(chunk_of(index, list(islice(frames, 4))))

    return made_once("dataset-drive", make) / "minitown"


def chunk_of(index, frames):
    """Return a chunk whose realized pictures are the rendered ones."""
    pictures = np.stack([frame.image for frame in frames])
    names = frames[0].labels
    return Chunk(
        index=index,
        camera=frames[0].camera,
        frames=pictures,
        rendered=pictures,
        frame_ids=np.array([frame.frame_id for frame in frames]),
        timestamps=np.array([frame.timestamp for frame in frames]),
        captured_at=np.array([frame.captured_at for frame in frames]),
        intrinsics=frames[0].intrinsics,
        cam_to_world=np.stack([frame.cam_to_world for frame in frames]),
        ego_to_world=np.stack([frame.ego_to_world for frame in frames]),
        labels={name: np.stack([frame.labels[name] for frame in frames]) for name in names},
        objects=tuple(frame.objects for frame in frames),
    )
