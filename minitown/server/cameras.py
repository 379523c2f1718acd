"""Cameras: which are due, which share one drawing, and pixels straight into their messages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.carla.wire.layouts import Layout
from realmaster_live.bridges.carla.wire.streams import (
    Head,
    bgra_of,
    flow_of,
    image_buffer,
    stamp_image,
)
from realmaster_live.errors import ActorError
from realmaster_live.minitown.scene import CameraView, SceneState
from realmaster_live.minitown.server.streams import Message
from realmaster_live.minitown.traffic.actors import Actor

FLOW = "optical_flow"
DEPTH_RANGE = 1000.0  # metres that the 24 bits of a depth image span
DEPTH_MOST = 2**24 - 1
MAX_SIZE = 8192  # pixels of a picture's side
MAX_PIXELS = 1 << 24  # of one picture, 4096 x 4096; it takes some 35 bytes a pixel
MAX_TOTAL_PIXELS = 1 << 25  # of all cameras' pictures together, 16 of 1920 x 1080
MAX_CAMERAS = 64
KEPT_SIZES = 8  # sizes of which a fixed picture is kept


class Drawing(Protocol):
    """What a renderer gives for one view; see `raster.Buffers`."""

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """(H, W, 3) sRGB."""

    @property
    def depth(self) -> NDArray[np.float32]:
        """(H, W) metres along the optical axis."""

    @property
    def semantic(self) -> NDArray[np.uint8]:
        """(H, W) CARLA classes."""

    @property
    def instance(self) -> NDArray[np.int32]:
        """(H, W) ids."""

    @property
    def flow(self) -> NDArray[np.float32] | None:
        """(H, W, 2) pixels since the earlier view; x right, y down."""


class Renderer(Protocol):
    """What draws the town."""

    def render(
        self,
        state: SceneState,
        view: CameraView,
        *,
        flow_from: tuple[SceneState, CameraView] | None = None,
    ) -> Drawing:
        """Draw one view of one state."""


@dataclass(eq=False)
class Camera:
    """A camera actor's own memory: its message buffers and its last picture.

    `previous` is the state and view of an optical flow camera's last picture.
    """

    actor: Actor
    stream: int
    kind: str
    view: CameraView
    previous: tuple[SceneState, CameraView] | None = None
    ring: list[Message] = field(default_factory=list)

    def buffer(self) -> Message:
        """Return a message that nobody is sending any more, marked as taken."""
        free = next((message for message in self.ring if message.pending == 0), None)
        if free is None:
            size = 8 if self.kind == FLOW else 4
            free = Message(image_buffer(self.view.width, self.view.height, size))
            self.ring.append(free)
        free.pending = 1
        return free


def make_camera(actor: Actor, stream: int, view: CameraView) -> Camera:
    """Return the camera of an actor; raise ActorError for a size or angle nobody can draw."""
    if not (1 <= view.width <= MAX_SIZE and 1 <= view.height <= MAX_SIZE):
        raise ActorError(
            f"expected image_size within 1..{MAX_SIZE}, got {view.width}x{view.height}: "
            "set image_size_x and image_size_y"
        )
    if view.width * view.height > MAX_PIXELS:
        raise ActorError(
            f"expected image_size of at most {MAX_PIXELS} pixels, got {view.width}x{view.height}: "
            "set less"
        )
    if not 1.0 <= view.fov_deg <= 170.0:
        raise ActorError(f"expected fov within 1..170 degrees, got {view.fov_deg:g}: set fov")
    return Camera(actor, stream, actor.type_id.rsplit(".", 1)[1], view)


def check_room(camera: Camera, others: Collection[Camera]) -> None:
    """Raise ActorError where the server has no room for one more camera of this size."""
    if len(others) >= MAX_CAMERAS:
        raise ActorError(
            f"expected at most {MAX_CAMERAS} cameras, got one more: destroy some before"
        )
    total = sum(one.view.width * one.view.height for one in (camera, *others))
    if total > MAX_TOTAL_PIXELS:
        raise ActorError(
            f"expected cameras of at most {MAX_TOTAL_PIXELS} pixels together, got {total}: "
            "use smaller or fewer cameras"
        )


@dataclass(frozen=True)
class Shot:
    """One camera's image of one frame, not drawn yet."""

    camera: Camera
    view: CameraView
    message: Message


@dataclass(frozen=True)
class Job:
    """All images of one frame; each group of shots is one view, drawn once."""

    state: SceneState
    groups: list[list[Shot]]


def plan(
    cameras: Sequence[tuple[Camera, CameraView]], state: SceneState, time_s: float, layout: Layout
) -> Job:
    """Take a buffer for each camera that sees `view` now, stamp it, and group equal views."""
    groups: dict[tuple[bytes, int, int, float], list[Shot]] = {}
    for camera, view in cameras:
        shot = Shot(camera, view, camera.buffer())
        assert isinstance(shot.message.data, bytearray)
        head = Head(layout.sensor_ids[camera.kind], state.frame, time_s, camera.actor.pose)
        stamp_image(shot.message.data, head, view.width, view.height, view.fov_deg)
        key = (view.cam_to_world.tobytes(), view.width, view.height, view.fov_deg)
        groups.setdefault(key, []).append(shot)
    return Job(state, list(groups.values()))


def draw(job: Job, renderer: Renderer) -> None:
    """Draw every shot of a job into its message; runs on the renderer's thread."""
    for shots in job.groups:
        here = (job.state, shots[0].view)
        flows = [shot for shot in shots if shot.camera.kind == FLOW]
        before = (flows[0].camera.previous or here) if flows else None
        drawing = renderer.render(*here, flow_from=before)
        for shot in shots:
            fill(shot, drawing)
        for shot in flows:
            shot.camera.previous = here


def fill(shot: Shot, drawing: Drawing) -> None:
    """Write one kind of picture into a message, as CARLA encodes it."""
    data, view = shot.message.data, shot.view
    assert isinstance(data, bytearray)
    kind = shot.camera.kind
    if kind == FLOW:
        assert drawing.flow is not None
        flow = flow_of(data, view.width, view.height)
        unit = np.array((view.width / 2, -view.height / 2), np.float32)  # Unreal's: half, y up
        np.divide(drawing.flow, unit, out=flow)
        np.nan_to_num(flow, copy=False, nan=0.0)
        return
    pixels = bgra_of(data, view.width, view.height)
    if kind == "rgb":
        for channel in range(3):  # one strided copy each: 40 times as fast as [..., ::-1]
            pixels[..., channel] = drawing.rgb[..., 2 - channel]
        pixels[..., 3] = 255
    elif kind == "depth":
        depth_bgr(drawing.depth, pixels)
    elif kind == "semantic_segmentation":
        label_bgr(drawing.semantic, None, pixels)
    else:
        label_bgr(drawing.semantic, drawing.instance, pixels)


def label_bgr(
    semantic: NDArray[np.uint8], instance: NDArray[np.int32] | None, pixels: NDArray[np.uint8]
) -> None:
    """Write (H, W) classes into R, and the low and high byte of (H, W) ids into G and B."""
    words = pixels.view("<u4")[..., 0]
    np.left_shift(semantic, 16, out=words, dtype=np.uint32, casting="unsafe")
    if instance is not None:
        ids = instance.view(np.uint32)
        words |= (ids & 0xFF) << 8
        words |= (ids >> 8) & 0xFF
    words |= 0xFF000000


def depth_bgr(depth: NDArray[np.float32], pixels: NDArray[np.uint8]) -> None:
    """Write (H, W) metres into (H, W, 4) BGRA: R + 256 G + 65536 B of 2^24 - 1 is 1000 m."""
    scaled = np.clip(depth, 0.0, DEPTH_RANGE)
    scaled *= np.float32(DEPTH_MOST / DEPTH_RANGE)
    code = np.minimum(scaled.astype("<u4"), DEPTH_MOST)
    octets = code.view(np.uint8).reshape(*code.shape, 4)
    for channel in range(3):
        pixels[..., channel] = octets[..., 2 - channel]
    pixels[..., 3] = 255


class Blank:
    """A renderer that draws nothing new: one fixed picture, to measure the wire alone."""

    def __init__(self) -> None:
        self._pictures: dict[tuple[int, int], Drawing] = {}

    def render(
        self,
        state: SceneState,
        view: CameraView,
        *,
        flow_from: tuple[SceneState, CameraView] | None = None,
    ) -> Drawing:
        """Return the fixed picture of the view's size."""
        size = (view.height, view.width)
        if size not in self._pictures:
            if len(self._pictures) >= KEPT_SIZES:
                self._pictures.pop(next(iter(self._pictures)))
            self._pictures[size] = _Picture(view.width, view.height)
        return self._pictures[size]


class _Picture:
    def __init__(self, width: int, height: int) -> None:
        across = np.arange(width, dtype=np.uint8)[None, :]
        down = np.arange(height, dtype=np.uint8)[:, None]
        self.rgb = np.empty((height, width, 3), np.uint8)
        self.rgb[..., 0], self.rgb[..., 1], self.rgb[..., 2] = across, down, across ^ down
        self.depth = np.full((height, width), 10.0, np.float32)
        self.semantic = np.full((height, width), 1, np.uint8)
        self.instance = np.zeros((height, width), np.int32)
        self.flow: NDArray[np.float32] | None = np.zeros((height, width, 2), np.float32)
