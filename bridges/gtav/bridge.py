"""GtavBridge: frames out of a running GTA-V, through a capture harness, a window or a device.

    harness, relay or window -> Receiver (thread: fresh, resampled) -> frames() -> Frame

The game's own timing is not trusted: pictures are stamped on arrival, by our relay where there is
one, and resampled to a constant rate. Nothing here has run against the game itself.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.frame_join import BridgeClosed, StepCounter
from realmaster_live.bridges.gtav.camera import (
    NEAR_M,
    VFOV_DEG,
    cam_to_world,
    intrinsics_from_vertical_fov,
    planar_depth_m,
    semantic_from_stencil,
)
from realmaster_live.bridges.gtav.clock import HOLD_S
from realmaster_live.bridges.gtav.link import SCREEN, Request, is_fork
from realmaster_live.bridges.gtav.protocol.framing import GameFrame, depth_ndc, stencil
from realmaster_live.bridges.gtav.protocol.messages import (
    Commands,
    Config,
    Message,
    Scenario,
    SetClockTime,
    SetWeather,
    TeleportToLocation,
)
from realmaster_live.bridges.gtav.protocol.stamp import Stamp, encode_realized, read_stamp
from realmaster_live.bridges.gtav.readers.drive import TERMS
from realmaster_live.bridges.gtav.receiver import Receiver
from realmaster_live.bridges.gtav.weather import game_weather, weather_in_words
from realmaster_live.errors import ConfigError, ConnectError, WireFormatError
from realmaster_live.frames.chunk import Chunk, Frame
from realmaster_live.frames.rig import label_names
from realmaster_live.frames.source_info import CameraInfo, SourceInfo
from realmaster_live.optional import require
from realmaster_live.system.termination import ExitGuard

log = logging.getLogger(__name__)

LABELS = ("depth", "semantic")


class GtavBridge:
    """A Bridge to GTA-V: a Source of frames at a constant rate, and a Sink where our relay is.

    Connects when made. `close` tells the harness to stop; use it as a context manager. Depth and
    classes need a harness that sends its buffers, poses one that sends its camera's; without them
    there are no labels and the pose is the identity.

    Args:
        url: `deepgtav+tcp://host:8000`, `deepgtav+zmq://127.0.0.1:8000`, `window+capture://TITLE`
            or `device://PATH`.
        width: of the frames, pixels, whatever the game's are. height: likewise.
        fps: the constant rate of frames.
        rate: frames a second to request of the game; None takes twice `fps` to choose the nearest
            ones from, over ZeroMQ, where the game pauses for each, `fps`.
        near_m: the game camera's near clip, which depth is computed from; None takes our relay's,
            without one NEAR_M, with a warning.
        vfov_deg: vertical field of view; None takes our relay's, without one VFOV_DEG.
        labels: which of `depth` and `semantic` to request.
        game_size: width and height of the picture to request; None takes `width` and `height`,
            over ZeroMQ SCREEN, which must be the game's own resolution.
        buffer_size: of depth and stencil, where they differ from the picture.
        scenario: where and how the game is to drive.
        others: more keys of a fork's `dataset`, as they are on the wire.
        timeout_s: longest wait for the game and for a fresh frame.
        reconnect_s: how long a lost connection is tried again; 0: not at all.
        hold_s: how long a picture is repeated in place of missing ones before there is a gap.
        name: of the camera, as in `Frame.camera`.
    """

    def __init__(
        self,
        url: str,
        *,
        width: int = 512,
        height: int = 288,
        fps: float = 20.0,
        rate: float | None = None,
        near_m: float | None = None,
        vfov_deg: float | None = None,
        labels: Sequence[str] = LABELS,
        game_size: tuple[int, int] | None = None,
        buffer_size: tuple[int, int] | None = None,
        scenario: Scenario | None = None,
        others: Mapping[str, Any] | None = None,
        timeout_s: float = 10.0,
        reconnect_s: float = 60.0,
        hold_s: float = HOLD_S,
        name: str = "front",
    ) -> None:
        labels = label_names(labels, LABELS)
        if min(width, height) < 1 or fps <= 0 or timeout_s <= 0:
            raise ConfigError(
                f"expected a size, fps and timeout_s above 0, got {width}x{height}, {fps:g} and "
                f"{timeout_s:g}: give others"
            )
        self._url, self._size, self._fps, self._name = url, (width, height), fps, name
        self._labels, self._near_m, self._vfov_deg = labels, near_m, vfov_deg
        self._fork = is_fork(url)
        self._game_size = game_size or (SCREEN if self._fork else self._size)
        self._buffer_size = buffer_size or self._game_size
        self._stamp: Stamp | None = None
        self._near_used: float | None = None
        weather = None if scenario is None else scenario.weather
        self._weather = "" if weather is None else weather_in_words(weather)
        self._source: SourceInfo | None = None  # of the latest frame
        self._closed = False
        request = Request(
            game_size=self._game_size,
            buffer_size=buffer_size,
            rate=rate or (fps if self._fork else 2.0 * fps),
            labels=labels,
            scenario=scenario or Scenario(),
            others=others or {},
        )
        self._receiver = Receiver(
            url,
            request,
            size=self._size,
            fps=fps,
            convert=self._frame,
            timeout_s=timeout_s,
            reconnect_s=reconnect_s,
            hold_s=hold_s,
        )
        self._guard = ExitGuard(self.close)
        self._guard.arm()

    @property
    def counts(self) -> dict[str, int]:
        """What was received and lost so far; see `Receiver`."""
        return self._receiver.counts

    def frames(self) -> Iterator[Frame]:
        """Yield frames at the constant rate until `close`; blocks while the next one is due.

        Raises FrameTimeout when no fresh frame comes, ConnectError when the game does not come
        back or the bridge was closed before, WireFormatError when the peer speaks another protocol.
        """
        if self._closed:
            raise ConnectError(f"expected an open bridge, got {self!r}: make another")
        steps = StepCounter(every_tick=True)
        with contextlib.suppress(BridgeClosed):
            while True:
                frame = self._receiver.take()
                lost = steps.missed(frame.frame_id)
                yield replace(frame, dropped_before=lost) if lost else frame

    def write(self, chunk: Chunk) -> None:
        """Send a realized chunk back to our relay; any other peer is sent nothing."""
        if self._stamp is not None and self._stamp.takes_realized:
            with contextlib.suppress(ConnectError):  # frames() deals with a lost connection
                self._receiver.send(encode_realized(chunk))

    def set_weather(self, wanted: str) -> None:
        """Ask the game for a weather: a prompt, its name, or the game's own name for it."""
        weather, hour = game_weather(wanted)
        self._weather = weather_in_words(wanted)
        if not self._fork:
            time = None if hour is None else (hour, 0)
            self._receiver.send(Config(scenario=Scenario(weather=weather, time=time)))
            return
        if weather is not None:
            self._receiver.send(SetWeather(weather=weather))
        if hour is not None:
            self._receiver.send(SetClockTime(hour=hour))

    def drive(self, throttle: float, brake: float, steering: float) -> None:
        """Drive: throttle and brake 0 to 1, steering -1 to 1 as the game has it."""
        if not (0 <= throttle <= 1 and 0 <= brake <= 1 and -1 <= steering <= 1):
            raise ConfigError(
                "expected throttle and brake in 0..1 and steering in -1..1, got "
                f"{throttle:g}, {brake:g} and {steering:g}: clip them"
            )
        self._receiver.send(
            Commands(throttle=float(throttle), brake=float(brake), steering=float(steering))
        )

    def teleport(self, x: float, y: float, z: float = 0.0) -> None:
        """Put the vehicle elsewhere, metres; what follows is a cut."""
        place: Message = TeleportToLocation(x=float(x), y=float(y), z=float(z))
        if not self._fork:
            place = Config(scenario=Scenario(location=(float(x), float(y))))
        self._receiver.send(place)
        self._receiver.cut()

    def close(self) -> None:
        """Tell the harness to stop and hang up; may be called twice and from any thread."""
        self._closed = True
        self._guard.disarm()
        self._receiver.close()

    @property
    def info(self) -> SourceInfo:
        """What a recording stores about the game; near clip and counts are those until now."""
        return replace(self._info_of_frames(), counts=self.counts)

    def _info_of_frames(self) -> SourceInfo:
        """Return what the game is by now, without the counts, which change with every frame."""
        width, height = self._size
        camera = CameraInfo(
            width=width,
            height=height,
            fov_deg=self._vfov(),
            fov_axis="vertical",
            labels=tuple(self._labels),
        )
        return SourceInfo(
            simulator="gtav",
            server=self._url,
            map="GTA-V",
            weather=self._weather,
            licence=TERMS,
            cameras={self._name: camera},
            near_m=self._near_used or self._near_m,
            near_is_default=self._near_used is not None and self._near() is None,
            ticked_by="nobody",
            fps=self._fps,
        )

    @property
    def is_open(self) -> bool:
        """Whether realized chunks can be sent back: from the making on until `close`."""
        return not self._closed

    def __repr__(self) -> str:
        """Say where it is connected and what it gives."""
        width, height = self._size
        labels = ", ".join(self._labels) or "none"
        return (
            f"GtavBridge({self._url}, {'closed, ' * self._closed}{width}x{height} at "
            f"{self._fps:g} a second, labels: {labels})"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _frame(self, game_frame: GameFrame, picture: NDArray[np.uint8]) -> Frame:
        """Convert a game's frame and its resized picture; runs on the receiver's thread."""
        self._stamp = read_stamp(game_frame.fields)
        source_size = game_frame.bgr.shape[1], game_frame.bgr.shape[0]
        if self._stamp is not None:
            source_size = self._stamp.source_size
        scale = np.diag([self._size[0] / source_size[0], self._size[1] / source_size[1], 1.0])
        labels = self._read_labels(game_frame.fields)  # which settles the near clip
        source = self._info_of_frames()
        if source != self._source:  # frames share one object as long as nothing changes
            self._source = source
        return Frame(
            camera=self._name,
            frame_id=0,
            timestamp=0.0,
            captured_at=0.0,
            image=picture,
            intrinsics=scale @ intrinsics_from_vertical_fov(*source_size, self._vfov()),
            cam_to_world=_pose(game_frame.fields),
            labels=labels,
            source=self._source,
        )

    def _read_labels(self, fields: Mapping[str, Any]) -> dict[str, NDArray[np.generic]]:
        """Return the labels that were sent, at the pictures' size."""
        labels: dict[str, NDArray[np.generic]] = {}
        classes, buffer = stencil(fields, *self._buffer_size), None
        if "depth" in self._labels:
            buffer = depth_ndc(fields, *self._buffer_size)
        if classes is not None:
            classes = self._nearest(classes)
        if buffer is not None:
            labels["depth"] = planar_depth_m(
                self._nearest(buffer), self._near_clip(), stencil=classes
            )
        if classes is not None and "semantic" in self._labels:
            labels["semantic"] = semantic_from_stencil(classes)
        return labels

    def _nearest(self, values: NDArray[Any]) -> NDArray[Any]:
        cv2 = require("cv2", extra="gta")
        if values.shape[::-1] == self._size:
            return values
        resized: NDArray[Any] = cv2.resize(
            values, self._size, interpolation=cv2.INTER_NEAREST_EXACT
        )
        return resized

    def _near(self) -> float | None:
        """Return the near clip that the user or the relay gave; None where neither did."""
        stamped = None if self._stamp is None else self._stamp.near_m
        return stamped if self._near_m is None else self._near_m

    def _near_clip(self) -> float:
        near_m = self._near()
        if near_m is None and self._near_used is None:
            log.warning(
                "the near clip of the game's camera is not known: depth is computed with the "
                "default of %g m; give near_m (--near-m) if yours differs",
                NEAR_M,
            )
        self._near_used = NEAR_M if near_m is None else near_m
        return self._near_used

    def _vfov(self) -> float:
        stamped = VFOV_DEG if self._stamp is None else self._stamp.vfov_deg
        return stamped if self._vfov_deg is None else self._vfov_deg


def _pose(fields: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the camera-to-world that a fork sends; the identity where there is none."""
    if "CameraPosition" not in fields or "CameraAngle" not in fields:
        return np.eye(4)
    try:
        numbers = np.array([fields["CameraPosition"], fields["CameraAngle"]], np.float64)
    except (TypeError, ValueError, OverflowError):
        numbers = np.array(np.nan)
    if numbers.shape != (2, 3) or not np.isfinite(numbers).all():
        raise WireFormatError(
            "expected three numbers each for CameraPosition and CameraAngle, got "
            f"{repr(fields['CameraPosition'])[:60]} and {repr(fields['CameraAngle'])[:60]}: "
            "use a fork of DeepGTAV that sends them"
        )
    return cam_to_world(*numbers)
