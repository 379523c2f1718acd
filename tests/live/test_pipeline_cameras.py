"""The live loop with the cameras of a rig: one engine each, whole ticks through the queues."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from realmaster_live import ChunkSpec, Frame
from realmaster_live.errors import ConfigError
from realmaster_live.live.chunker import Chunker
from realmaster_live.live.pipeline import run
from realmaster_live.live.rig_chunker import RigChunker

SIZES = {"front": (16, 8), "left": (12, 6), "right": (12, 6)}  # width, height


def spec(camera, frames=4, first=0):
    width, height = SIZES[camera]
    return ChunkSpec(frames=frames, height=height, width=width, fps=20, first_frames=first)


def make_frame(camera, number, dropped_before=0):
    width, height = SIZES[camera]
    return Frame(
        camera=camera,
        frame_id=number,
        timestamp=number / 20,
        captured_at=time.monotonic(),
        image=np.full((height, width, 3), number, np.uint8),
        intrinsics=np.eye(3),
        cam_to_world=np.eye(4),
        dropped_before=dropped_before,
    )


class Rig:
    """A user's own source: ticks of several cameras; `without` leaves out (tick, camera)."""

    def __init__(self, count, *, every_s=0.0, without=(), skip=(), cameras=tuple(SIZES)):
        self.count, self.every_s, self.cameras = count, every_s, cameras
        self.without, self.skip = set(without), set(skip)

    def frames(self):
        for number in range(self.count):
            if number in self.skip:
                continue
            time.sleep(self.every_s)
            for camera in self.cameras:
                if (number, camera) not in self.without:
                    yield make_frame(camera, number)

    def close(self):
        pass


class Counting:
    """A user's own engine with state: it writes how many chunks it has realized since a reset."""

    def __init__(self, camera, *, every_s=0.0, frames=4, first=0):
        self.camera, self.every_s = camera, every_s
        self.spec = spec(camera, frames, first)
        self.count = 0
        self.closed = 0

    def realize(self, chunk):
        assert chunk.camera == self.camera
        time.sleep(self.every_s)
        self.count += 1
        return chunk.with_frames(np.full_like(chunk.frames, self.count))

    def reset(self):
        self.count = 0

    def close(self):
        self.closed += 1


class Ticks(Rig):
    """A rig that says when all of its ticks were given."""

    def __init__(self, count, **options):
        super().__init__(count, **options)
        self.given = threading.Event()

    def frames(self):
        yield from super().frames()
        self.given.set()


class Late(Counting):
    """An engine that waits until all ticks were given."""

    def __init__(self, camera, given):
        super().__init__(camera)
        self.given = given

    def realize(self, chunk):
        assert self.given.wait(60.0)
        return super().realize(chunk)


class Collector:
    def __init__(self):
        self.chunks = []

    def write(self, chunk):
        self.chunks.append(chunk)

    def close(self):
        pass

    def of(self, camera):
        return [chunk for chunk in self.chunks if chunk.camera == camera]


def engines(**options):
    return {camera: Counting(camera, **options) for camera in SIZES}


def ticks_of(chunks):
    """Return the frame ids of each run of three chunks, which must be one of each camera."""
    assert len(chunks) % 3 == 0
    found = []
    for n in range(0, len(chunks), 3):
        tick = chunks[n : n + 3]
        assert [chunk.camera for chunk in tick] == list(SIZES)
        ids = [chunk.frame_ids.tolist() for chunk in tick]
        assert ids[0] == ids[1] == ids[2]
        found.append(ids[0])
    return found


def test_each_camera_has_its_own_engine_and_sinks_get_whole_ticks():
    rigged, sink = engines(), Collector()
    stats = run(Rig(10), rigged, [sink])
    assert ticks_of(sink.chunks) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    for camera, (width, height) in SIZES.items():
        first, second = sink.of(camera)
        assert first.frames.shape == (4, height, width, 3)
        assert (first.index, second.index) == (0, 1)
        assert (first.frames[0, 0, 0, 0], second.frames[0, 0, 0, 0]) == (1, 2)
        assert second.rendered[1, 0, 0, 0] == 5
    assert (stats.captured, stats.realized, stats.dropped_frames) == (30, 24, 6)
    assert stats.latency_ms["capture"].count == 9
    assert stats.latency_ms["engine"].count == 6
    assert [engine.closed for engine in rigged.values()] == [0, 0, 0]


def test_a_lost_tick_is_a_gap_of_every_camera():
    rigged, sink = engines(first=1), Collector()
    stats = run(Rig(12, skip=(6, 7)), rigged, [sink])
    assert ticks_of(sink.chunks) == [[0], [1, 2, 3, 4], [8]]
    for camera in SIZES:
        assert [chunk.dropped_before for chunk in sink.of(camera)] == [0, 0, 3]
        assert sink.of(camera)[-1].frames.max() == 1  # it began anew
    assert (stats.lost_frames, stats.resets) == (6, 3)
    assert stats.captured == stats.realized + stats.dropped_frames == 30


def test_a_tick_that_lacks_a_camera_is_a_gap_of_all():
    sink = Collector()
    stats = run(Rig(9, without=[(4, "left")]), engines(), [sink])
    assert ticks_of(sink.chunks) == [[0, 1, 2, 3], [5, 6, 7, 8]]
    assert [chunk.dropped_before for chunk in sink.of("right")] == [0, 1]
    assert (stats.captured, stats.realized, stats.dropped_frames) == (26, 24, 2)
    assert stats.lost_frames == 1  # the one that never came


def test_drop_oldest_drops_whole_ticks_and_each_camera_says_how_many():
    ticks = Ticks(100)
    rigged = engines() | {"front": Late("front", ticks.given)}
    sink = Collector()
    stats = run(ticks, rigged, [sink], policy="drop_oldest", queue_chunks=1)
    ids = [number for tick in ticks_of(sink.chunks) for number in tick]
    assert ids == sorted(ids) and ids[-1] == 99
    assert stats.dropped_chunks > 0 and stats.dropped_chunks % 3 == 0
    assert stats.captured == 300 == stats.realized + stats.dropped_frames
    for camera in SIZES:
        missing = sum(chunk.dropped_before for chunk in sink.of(camera))
        assert 3 * missing == stats.dropped_frames


def test_a_camera_that_changes_alone_is_refused():
    class Zooming(Rig):
        def frames(self):
            for frame in super().frames():
                zoomed = frame.camera == "left" and frame.frame_id > 1
                yield replace(frame, intrinsics=2 * np.eye(3)) if zoomed else frame

    with pytest.raises(ConfigError, match="other optics or labels of left alone"):
        run(Zooming(20), engines(), [Collector()])


def test_engines_that_do_not_fit_the_cameras_are_refused():
    with pytest.raises(ConfigError, match="expected frames of front, got one of 'left'"):
        run(Rig(8), {"front": Counting("front")}, [Collector()])
    unequal = {"front": Counting("front"), "left": Counting("left", frames=8)}
    with pytest.raises(ConfigError, match=r"2 cameras with chunks of \[\(4, 4\), \(8, 8\)\]"):
        run(Rig(8, cameras=("front", "left")), unequal, [Collector()])
    one = Counting("left")
    with pytest.raises(ConfigError, match="got one for 1: load it once for each camera, or"):
        run(Rig(8, cameras=("left", "right")), {"left": one, "right": one}, [Collector()])


def test_the_dropped_count_of_the_slowest_camera_counts_for_all():
    chunker = RigChunker({camera: Chunker(spec(camera, 1)) for camera in SIZES})
    for camera in SIZES:
        chunker.push(make_frame(camera, 5))
    chunks = [
        chunker.push(make_frame(camera, 6, dropped_before=2 if camera == "right" else 0))
        for camera in SIZES
    ]
    assert [chunk.dropped_before for chunk in chunks[-1]] == [2, 2, 2]


class Together(Counting):
    """An engine for several cameras: it writes how many chunks of each it has realized."""

    def __init__(self, *cameras, frames=4, first=0):
        super().__init__(cameras[0], frames=frames, first=first)
        self.names, self.cameras = cameras, len(cameras)
        self.batches = []

    def realize_together(self, chunks):
        self.batches.append(tuple(chunk.camera for chunk in chunks))
        self.count += 1
        return tuple(
            chunk.with_frames(np.full_like(chunk.frames, self.count * 10 + place))
            for place, chunk in enumerate(chunks)
        )

    def set_prompt(self, prompt, fade_chunks=0):
        pass


class Shuffled(Rig):
    """Gives the cameras of every other tick in another order."""

    def frames(self):
        ticks = {}
        for frame in super().frames():
            ticks.setdefault(frame.frame_id, []).append(frame)
        for number, frames in ticks.items():
            yield from reversed(frames) if number % 2 else frames


def test_cameras_of_one_engine_are_realized_together_in_its_order():
    """Also after a gap, before which its past is forgotten once for all of them."""
    rig, front = Together("left", "right"), Counting("front")
    sink = Collector()
    stats = run(Shuffled(14, skip=(9,)), {"right": rig, "front": front, "left": rig}, [sink])
    assert rig.batches == [("right", "left")] * 3
    for place, camera in enumerate(("right", "left")):
        found = [int(chunk.frames.max()) for chunk in sink.of(camera)]
        assert found == [10 + place, 20 + place, 10 + place]
    assert [int(chunk.frames.max()) for chunk in sink.of("front")] == [1, 2, 1]
    ids = [chunk.frame_ids.tolist() for chunk in sink.of("left")]
    assert ids == [[0, 1, 2, 3], [4, 5, 6, 7], [10, 11, 12, 13]]
    assert (stats.latency_ms["engine"].count, stats.resets) == (9, 3)
    assert stats.captured == stats.realized + stats.dropped_frames == 39
    assert (rig.closed, front.closed) == (0, 0)


def test_an_engine_for_another_number_of_cameras_is_refused():
    for cameras in (("left",), ("left", "right", "front")):
        with pytest.raises(ConfigError, match=rf"{len(cameras)} cameras \(.*, got one for 2: load"):
            run(Rig(8), dict.fromkeys(cameras, Together("left", "right")), [Collector()])


def test_spare_cameras_go_first_when_the_engine_is_late():
    """The front camera's chunks are all there; those of the left one only when nothing waits."""
    cameras, sink = ("front", "left"), Collector()
    ticks = Ticks(16, cameras=cameras)
    stats = run(
        ticks,
        {"front": Late("front", ticks.given), "left": Counting("left")},
        [sink],
        policy="drop_oldest",
        queue_chunks=4,
        spare=["left"],
    )
    taken = {name: sink.of(name) for name in cameras}
    assert [chunk.index for chunk in taken["front"]] == [0, 1, 2, 3]
    assert taken["left"][-1].index == 3 and len(taken["left"]) < 4
    missing = sum(chunk.dropped_before for chunk in taken["left"])
    assert missing == 4 * (4 - len(taken["left"])) == stats.dropped_frames
    assert not any(chunk.dropped_before for chunk in taken["front"])
    assert taken["left"][-1].frames.max() == 1  # its engine began anew
    assert stats.captured == stats.realized + stats.dropped_frames


def test_no_camera_is_spare_unless_it_has_its_own_engine_beside_others():
    engines = {"front": Counting("front"), "left": Counting("left")}
    for spare, got in (("left", "left"), (["left", "front"], "front, left"), (["back"], "back")):
        with pytest.raises(ConfigError, match=f"some of front, left, got {got}: leave one"):
            run(Rig(4), engines, [], spare=spare)
    with pytest.raises(ConfigError, match="some of a rig, got left"):
        run(Rig(4), engines["front"], [], spare=["left"])
    both = Counting("front")
    both.cameras = 2
    with pytest.raises(ConfigError, match="its own for the spare camera 'left', got one for 2"):
        run(Rig(4), {"front": both, "left": both, "right": Counting("right")}, [], spare=["left"])
