"""The virtual camera: what its device is shown, and a machine without one."""

import time
from pathlib import Path

import numpy as np
import pytest
from driven_scene import SIZE
from sink_drive import drive

import realmaster_live as rm
from realmaster_live.errors import ConfigError

pyvirtualcam = pytest.importorskip("pyvirtualcam")


class Kept:
    """A backend of pyvirtualcam that keeps what a device would show."""

    shown: list = []  # noqa: RUF012

    def __init__(self, width, height, fps, fourcc, device, **how):
        if device == "/dev/gone":
            raise RuntimeError("no such device")
        self.name = device or "kept0"
        assert (width, height) == SIZE and fps == 20

    def device(self):
        return self.name

    def native_fourcc(self):
        return None

    def send(self, frame):
        self.shown.append((time.monotonic(), np.array(frame).reshape(SIZE[1], SIZE[0], 3)))

    def close(self):
        pass


@pytest.fixture
def kept(monkeypatch):
    from pyvirtualcam import camera

    monkeypatch.setattr(camera, "BACKENDS", {"kept": Kept})
    monkeypatch.setattr(Kept, "shown", [])
    return Kept.shown


def test_the_first_cameras_pictures_are_shown_in_order_and_spread(kept):
    chunks = drive(rm.open_sink("camera:"), cameras=("front", "back"), chunks=4, pause_s=0.4)
    front = [picture for chunk in chunks if chunk.camera == "front" for picture in chunk.frames]
    assert len(kept) == 16
    for (_, shown), wanted in zip(kept, front, strict=True):
        np.testing.assert_array_equal(shown, wanted)
    times = [at for at, _ in kept[4:]]
    assert times[3] - times[0] > 0.1  # not four at once


def test_a_device_that_is_not_there_is_one_sentence(kept):
    with pytest.raises(ConfigError, match=r"virtual camera device, got .*modprobe v4l2loopback"):
        drive(rm.open_sink("camera:/dev/gone"))


@pytest.mark.skipif(any(Path("/dev").glob("video*")), reason="this machine has a video device")
def test_a_machine_without_one_says_what_to_load():
    with pytest.raises(ConfigError, match=r"virtual camera device, got .*modprobe v4l2loopback"):
        drive(rm.open_sink("camera:"))
