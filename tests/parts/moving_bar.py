"""A user's own source, engine and sink for the live loop, which fail or wait where wanted."""

import os
import signal
import threading
import time

import numpy as np

from realmaster_live import ChunkSpec, Frame
from realmaster_live.errors import EngineError, FrameTimeout, RecordingError

SPEC = ChunkSpec(frames=4, height=8, width=16, fps=20)


class Hold:
    """Keeps whoever waits in it until the source has given its last frame."""

    def __init__(self):
        self.reached, self.over = threading.Event(), threading.Event()

    def wait(self):
        self.reached.set()
        self.over.wait(60)


class MovingBar:
    """A user's own source: a bright bar that walks over a dark picture."""

    def __init__(self, count, *, every_s=0.0, skip=(), fail_at=None, hang_at=None, hold=None):
        self.count, self.every_s, self.skip, self.hold = count, every_s, skip, hold
        self.fail_at, self.hang_at = fail_at, hang_at
        self.closed = threading.Event()
        self.cleaned_up_on = None

    def frames(self):
        try:
            for number in range(self.count):
                if number in self.skip:
                    continue
                if number == self.fail_at:
                    raise FrameTimeout("expected frame 9 within 1 s, got none: look at the server")
                if number == self.hang_at:
                    self.closed.wait()
                    return
                if number == 8 and self.hold is not None:
                    self.hold.reached.wait(60)
                time.sleep(self.every_s)
                image = np.zeros((8, 16, 3), np.uint8)
                image[:, number % 16] = 255
                yield Frame(
                    camera="front",
                    frame_id=number,
                    timestamp=number / 20,
                    captured_at=time.monotonic(),
                    image=image,
                    intrinsics=np.eye(3),
                    cam_to_world=np.eye(4),
                )
            if self.hold is not None:
                self.hold.over.set()
        finally:
            self.cleaned_up_on = threading.current_thread().name

    def close(self):
        self.closed.set()


class Inverting:
    """A user's own engine; remembers what it was told."""

    def __init__(self, *, spec=SPEC, fail_at=None, interrupt_at=None, hold=None):
        self.spec, self.hold = spec, hold
        self.fail_at, self.interrupt_at = fail_at, interrupt_at
        self.log = []
        self.thread = None

    def realize(self, chunk):
        self.thread = threading.current_thread()
        self.log.append(len(chunk))
        if chunk.index == self.fail_at:
            raise EngineError("expected finite pixels, got NaN: check the weights")
        if chunk.index == self.interrupt_at:
            os.kill(os.getpid(), signal.SIGINT)
        if self.hold is not None:
            self.hold.wait()
        return chunk.with_frames(255 - chunk.frames)

    def reset(self):
        self.log.append("reset")

    def close(self):
        self.log.append("close")


class Collector:
    """A user's own sink."""

    def __init__(self, *, every_s=0.0, fail_at=None, hold=None):
        self.every_s, self.fail_at, self.hold = every_s, fail_at, hold
        self.chunks = []
        self.closed = 0

    def write(self, chunk):
        if chunk.index == self.fail_at:
            raise RecordingError("expected room on the disk, got none: free some")
        if self.hold is not None:
            self.hold.wait()
        time.sleep(self.every_s)
        self.chunks.append(chunk)

    def close(self):
        self.closed += 1

    @property
    def frame_ids(self):
        return [int(number) for chunk in self.chunks for number in chunk.frame_ids]
