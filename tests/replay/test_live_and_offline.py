"""What was realized live and what replay makes of its recording are the same bits."""

import contextlib
from collections.abc import Iterator

import carla
import numpy as np
import pytest

from realmaster_live.bridges.carla.bridge import CarlaBridge
from realmaster_live.cli import main
from realmaster_live.engines.load import load_engine
from realmaster_live.fidelity.dissolve import dissolving
from realmaster_live.fidelity.steady import steadied
from realmaster_live.frames.chunk import Chunk, Frame
from realmaster_live.live.pipeline import run
from realmaster_live.recording import Recorder, Recording

WIDTH, HEIGHT = 128, 64


class Losing:
    """A source that loses frames on the way, as a busy network does."""

    def __init__(self, source, lost=()) -> None:
        self.source, self.lost = source, set(lost)

    def frames(self) -> Iterator[Frame]:
        for index, frame in enumerate(self.source.frames()):
            if index not in self.lost:
                yield frame

    def close(self) -> None:
        self.source.close()


class Prompting:
    """An engine whose prompt is changed on the way: chunk -> (prompt, chunks that fade)."""

    def __init__(self, engine, changes) -> None:
        self.engine, self.changes, self.chunks = engine, changes, 0
        self.spec, self.reset, self.close = engine.spec, engine.reset, engine.close

    def realize(self, chunk: Chunk) -> Chunk:
        if self.chunks in self.changes:
            self.engine.set_prompt(*self.changes[self.chunks])
        self.chunks += 1
        return self.engine.realize(chunk)


@pytest.fixture
def hero(carla_client):
    """A car that rolls through town 7."""
    world = carla_client.get_world()
    blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
    blueprint.set_attribute("role_name", "hero")
    car = world.spawn_actor(blueprint, world.get_map().get_spawn_points()[3])
    car.enable_constant_velocity(carla.Vector3D(6.0, 0.0, 0.0))
    world.wait_for_tick(30.0)


def drive(server, folder, *, frames, lost=(), prompts=None, seed=0) -> None:
    engine = steadied(dissolving(load_engine("embedded", width=WIDTH, height=HEIGHT, seed=seed)))
    with contextlib.ExitStack() as stack:
        bridge = stack.enter_context(
            CarlaBridge(server.host, server.port, ego="hero", width=WIDTH, height=HEIGHT)
        )
        recorder = stack.enter_context(Recorder(folder, engine.spec, lossless=True))
        stats = run(
            Losing(bridge, lost), Prompting(engine, prompts or {}), [recorder], max_frames=frames
        )
    assert stats.realized


def everything(folder):
    with Recording(folder) as recording:
        return list(recording.samples("front"))


def assert_same(live, offline) -> None:
    assert [s.frame.frame_id for s in offline] == [s.frame.frame_id for s in live]
    for a, b in zip(live, offline, strict=True):
        np.testing.assert_array_equal(b.real, a.real)
        np.testing.assert_array_equal(b.frame.image, a.frame.image)
        assert a.frame.labels.keys() == b.frame.labels.keys() == {"depth", "semantic", "instance"}
        for name, label in a.frame.labels.items():
            np.testing.assert_array_equal(b.frame.labels[name], label)
        for name in ("cam_to_world", "ego_to_world", "intrinsics", "timestamp", "dropped_before"):
            np.testing.assert_array_equal(getattr(b.frame, name), getattr(a.frame, name))
        assert [o.object_id for o in b.frame.objects] == [o.object_id for o in a.frame.objects]
        assert (b.prompt, b.seed, b.chunk_start) == (a.prompt, a.seed, a.chunk_start)


@pytest.mark.usefixtures("hero")
@pytest.mark.parametrize(
    ("lost", "prompts", "seed"),
    [
        ((), {}, 0),
        ((6, 7, 13), {}, 5),
        ((14,), {1: ("rain", 2), 3: ("snow", 0), 5: ("rain", 1)}, 0),
    ],
    ids=["plain", "with losses, another seed", "through prompts and a loss"],
)
def test_live_and_offline_are_identical(minitown, tmp_path, lost, prompts, seed):
    first, second = tmp_path / "live", tmp_path / "offline"
    drive(minitown, first, frames=28 - len(lost), lost=lost, prompts=prompts, seed=seed)
    flags = ["--engine", "embedded", "--seed", str(seed), "--lossless", "--quiet"]
    assert main(["replay", str(first), *flags, "--out", str(second)]) == 0
    live = everything(first)
    assert_same(live, everything(second))
    assert sum(s.frame.dropped_before > 0 for s in live) == bool(lost) + (len(lost) > 2)
    if prompts:
        assert {s.prompt for s in live} >= {"rain", "snow"}
    moved = np.abs(live[0].frame.image.astype(int) - live[-1].frame.image).mean()
    assert moved > 1  # the pictures are not all one


@pytest.mark.usefixtures("hero")
def test_another_seed_is_another_picture(minitown, tmp_path):
    first, second = tmp_path / "live", tmp_path / "offline"
    drive(minitown, first, frames=8, prompts={0: ("rain", 0)})
    assert main(["replay", str(first), "--seed", "9", "--out", str(second), "--quiet"]) == 0
    live, offline = everything(first), everything(second)
    assert not np.array_equal(live[5].real, offline[5].real)
    np.testing.assert_array_equal(live[5].frame.frame_id, offline[5].frame.frame_id)
