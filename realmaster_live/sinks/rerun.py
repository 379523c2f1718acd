"""Rerun: a viewer on this screen, one in a browser, one that runs elsewhere, or a file.

    world                     the boxes of what is in view, in our world's axes
    world/CAMERA              where the camera is, and its optics
    world/CAMERA/sim, real    the pictures, as JPEG: every viewer shows it, without FFmpeg
    trust/CAMERA              the gate's score, where it judged

Timelines: `frame`, the simulator's number, and `simulated`, its clock.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from realmaster_live.errors import ConfigError, RecordingError, reason
from realmaster_live.frames.chunk import Chunk, Frame
from realmaster_live.frames.classes import PALETTE, class_name
from realmaster_live.frames.quaternion import to_quaternion
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.optional import require
from realmaster_live.recording.files import unwritable
from realmaster_live.sinks.encoding import Encodings, Which
from realmaster_live.sinks.urls import SinkUrl

rr = require("rerun", extra="rerun")
blueprint = require("rerun.blueprint", extra="rerun")
log = logging.getLogger(__name__)

HOST, PORT, WEB_PORT = "127.0.0.1", 9876, 9090
START_S = 60.0  # how long a viewer may take to start; one that ends is noticed at once
STALL_S = 2.0  # how long a viewer may take for a chunk before it gets no more
END_S = 10.0  # how long a viewer may take to end
ANSWER_S = 2.0  # how long a viewer may take to greet
SETTINGS = bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))  # an empty frame of that type (RFC 9113, 6.5)
GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS  # of a client (RFC 9113, 3.4)
STREAMS: tuple[Which, Which] = ("sim", "real")


def _abandon(stream: Any) -> None:
    """Leave a stream as it is, also at the program's end.

    The SDK's writer of files ends at its first error, and whoever ends its stream then may wait for
    it without end: `disconnect`, the stream's last reference, or the SDK's own function at exit.
    """
    rr.unregister_shutdown()
    for held in (stream, stream.inner):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(held))


def from_url(url: SinkUrl) -> RerunSink:
    """Return the sink of `rerun:`, `rerun:FILE.rrd`, `rerun:serve` or `rerun:HOST:PORT`."""
    if url.rest.endswith(".rrd"):
        return RerunSink(file=url.path)
    if url.rest in ("", "serve"):
        return RerunSink(viewer="browser" if url.rest else "screen")
    return RerunSink(address=url.address(HOST, PORT))


class RerunSink:
    """A sink for one of Rerun's viewers, or for its file.

    Args:
        file: a new .rrd file.
        address: host and port of a viewer that runs.
        viewer: start one: "screen", whose window stays, or "browser", a page on this machine that
            ends with the sink. Both listen on 127.0.0.1 only.
        ports: of the viewer that is started, and of its page.

    Attributes:
        url: of the page, "" without one.
    """

    def __init__(
        self,
        *,
        file: str | Path | None = None,
        address: tuple[str, int] | None = None,
        viewer: str = "",
        ports: tuple[int, int] = (PORT, WEB_PORT),
    ) -> None:
        self.url = ""
        self._file = None if file is None else Path(file)
        self._address, self._viewer, self._ports = address, viewer, ports
        self._encodings = Encodings()
        self._stream: Any = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_behind = False  # whether the last chunk is still on its way
        self._first = ""  # camera, with whose frames the boxes are logged

    def open(self) -> None:
        """Make the file, or reach the viewer.

        Raises:
            RecordingError: the file exists, or cannot be made.
            ConfigError: there is no viewer, or none can be started.
        """
        address = self._start() if self._viewer else self._address
        stream = rr.RecordingStream("realmaster_live")
        if address is not None:
            try:
                _wait_for(address, self._process)
            except ConfigError:
                self._end()
                raise
            host, port = address
            stream.connect_grpc(f"rerun+http://{host}:{port}/proxy")
        elif self._file is not None:
            self._save(stream, self._file)
        self._stream = stream
        stream.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)

    def begin(self, run: RunInfo) -> None:
        """Share the run's JPEG files, and lay the viewer out for its cameras."""
        self._encodings = Encodings.of(run)
        self._stream.send_blueprint(_layout(tuple(run.source_info.cameras)))

    def write(self, chunk: Chunk) -> None:
        """Log one chunk; it is in the file or at the viewer when this returns.

        Raises:
            RecordingError: the disk is full.
            ConfigError: the viewer is gone, or has not taken the chunk, or the one before, within
                STALL_S; the SDK, which would keep all that comes, is then given no more.
        """
        if self._is_behind:
            self._flush()
        self._first = self._first or chunk.camera
        for row in range(len(chunk)):
            frame = chunk.frame(row)
            self._stream.set_time("frame", sequence=frame.frame_id)
            self._stream.set_time("simulated", duration=frame.timestamp)
            self._log_camera(frame)
            if chunk.camera == self._first:
                self._stream.log("world/things", _boxes(frame))
            for which in STREAMS:
                if which == "real" or chunk.rendered is not None:
                    jpeg = self._encodings.jpeg(chunk, which)[row]
                    picture = rr.EncodedImage(contents=jpeg, media_type="image/jpeg")
                    self._stream.log(f"world/{frame.camera}/{which}", picture)
            if chunk.trust:
                score = rr.Scalars(chunk.trust[row].score)
                self._stream.log(f"trust/{frame.camera}", score)
        self._flush()

    def close(self) -> None:
        """Finish the file, or leave the viewer."""
        try:
            if not self._is_behind:
                self._flush()
        finally:
            if self._file is not None and self._is_behind:
                _abandon(self._stream)
            else:
                self._stream.disconnect()
            if self._viewer == "browser":
                self._end()

    def _flush(self) -> None:
        """Wait until what was logged is in the file or at the viewer."""
        self._is_behind = True
        try:
            self._stream.flush(timeout_sec=STALL_S)
        except RuntimeError as error:
            if self._file is not None:
                raise unwritable(self._file, error) from error
            raise ConfigError(
                f"expected a Rerun viewer that takes a chunk within {STALL_S:g} s, got "
                f"{reason(error)}: see that it runs and is not busy"
            ) from error
        self._is_behind = False

    def _save(self, stream: Any, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.exists():
                raise FileExistsError("a file of that name")
            stream.save(file)
        except (OSError, RuntimeError) as error:
            raise RecordingError(
                f"expected to make the new file {file}, got {reason(error)}: choose another name"
            ) from error

    def _start(self) -> tuple[str, int]:
        """Start a viewer and return its address."""
        port, web_port = self._ports
        for number in self._ports if self._viewer == "browser" else (port,):
            if _answers((HOST, number)):
                raise ConfigError(
                    f"expected the port {number} free for Rerun's viewer, got one in use: end what "
                    f"uses it, or give rerun:{HOST}:{number} for a viewer that runs there"
                )
        command = [sys.executable, "-m", "rerun", "--bind", HOST, "--port", str(port)]
        if self._viewer == "browser":
            command += ["--serve-web", "--web-viewer-port", str(web_port)]
            self.url = f"http://{HOST}:{web_port}/?url=rerun%2Bhttp://{HOST}:{port}/proxy"
            log.warning("Rerun: open %s", self.url)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # it starts the viewer as a child, and both end together
        )
        return HOST, port

    def _end(self) -> None:
        """End the viewer that was started, if one was."""
        process = self._process
        if process is None:
            return
        if sys.platform == "win32":
            process.terminate()
        else:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        process.wait(END_S)

    def _log_camera(self, frame: Frame) -> None:
        height, width = frame.image.shape[:2]
        pose, path = frame.cam_to_world, f"world/{frame.camera}"
        lens = rr.Pinhole(
            image_from_camera=frame.intrinsics,
            resolution=[width, height],
            camera_xyz=rr.ViewCoordinates.RDF,
        )
        place = rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3])
        self._stream.log(path, place, lens)


def _layout(cameras: Sequence[str]) -> Any:
    """Return each camera's two pictures side by side, above the world."""
    rows = [
        blueprint.Horizontal(
            *(
                blueprint.Spatial2DView(origin=f"world/{camera}/{which}", name=f"{camera} {which}")
                for which in STREAMS
            )
        )
        for camera in cameras
    ]
    return blueprint.Blueprint(
        blueprint.Vertical(*rows, blueprint.Spatial3DView(origin="world", name="world")),
        collapse_panels=True,
    )


def _boxes(frame: Frame) -> Any:
    things = frame.objects
    places = np.array([one.object_to_world for one in things]).reshape(-1, 4, 4)
    turned = np.array([to_quaternion(one) for one in places]).reshape(-1, 4)
    classes = np.array([one.class_id for one in things], np.intp)
    return rr.Boxes3D(
        half_sizes=np.array([one.size for one in things]).reshape(-1, 3) / 2,
        centers=places[:, :3, 3],
        quaternions=turned[:, [1, 2, 3, 0]],  # x, y, z, w
        colors=PALETTE[np.where(classes < len(PALETTE), classes, 0)],
        labels=[class_name(one.class_id) for one in things],
        show_labels=False,
    )


def _wait_for(address: tuple[str, int], process: subprocess.Popen[bytes] | None) -> None:
    """Wait until a viewer answers; raise ConfigError where none does."""
    deadline = time.monotonic() + (START_S if process is not None else 0.0)
    while not _is_viewer(address):
        ended = process is not None and process.poll() is not None
        if ended or time.monotonic() > deadline:
            remedy = "use rerun:serve or rerun:FILE.rrd where there is no screen"
            raise ConfigError(
                f"expected a Rerun viewer at {address[0]}:{address[1]}, got none: start one, or "
                f"{remedy}"
            )
        time.sleep(0.1)


def _is_viewer(address: tuple[str, int]) -> bool:
    """Return whether something at an address greets as gRPC does, with HTTP/2's settings."""
    try:
        with socket.create_connection(address, ANSWER_S) as one:
            one.sendall(GREETING)
            return one.recv(len(SETTINGS))[3:4] == SETTINGS[3:4]
    except OSError:
        return False


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, 1.0).close()
    except OSError:
        return False
    return True
