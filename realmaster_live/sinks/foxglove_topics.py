"""A live chunk on Foxglove's topics, those of an MCAP export of a recording.

/tf                       FrameTransforms    map to ego to each camera
/things                   SceneUpdate        the 3D boxes of what is in view
/CAMERA/calibration       CameraCalibration
/CAMERA/sim, /CAMERA/real CompressedVideo    H.264, whose key frames have their parameter sets
/CAMERA/trust             JSON               the gate's scores, where it judged
/ego/state, /ego/imu      JSON               speed, controls and the inertial reading
/ego/location             LocationFix        /ego/events  JSON  collisions, crossed lines
/SENSOR                   PointCloud         a lidar's or radar's sweep
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

from realmaster_live.frames.chunk import Chunk, Frame
from realmaster_live.messages import foxglove as messages
from realmaster_live.messages.foxglove_log import FoxgloveLog
from realmaster_live.sinks.encoding import VideoOf, Which

STREAMS: tuple[Which, Which] = ("sim", "real")


class FoxgloveTopics:
    """Writes chunks to a log; all cameras' things, which are the same, once a tick."""

    def __init__(self) -> None:
        self.log = FoxgloveLog()
        self._first = ""  # camera, with whose frames the things are written

    def write(self, chunk: Chunk, video_of: VideoOf) -> None:
        """Log all messages of a chunk; its video is only asked for where somebody wants it."""
        self._first = self._first or chunk.camera
        height, width = chunk.frames.shape[1:3]
        packets = {
            which: cache(partial(video_of.h264, chunk, which))
            for which in STREAMS
            if which == "real" or chunk.rendered is not None
        }
        for row in range(len(chunk)):
            frame = chunk.frame(row)
            self.log.pose(frame, (width, height))
            if chunk.camera == self._first:
                self.log.things(frame)
                self.log.ego(frame)
            if chunk.trust:
                self.log.trust(frame, chunk.trust[row])
            for which, of_chunk in packets.items():
                video = partial(_video, frame, row, of_chunk)
                self.log.log(f"/{chunk.camera}/{which}", "CompressedVideo", video, frame)


def _video(frame: Frame, row: int, packets: Callable[[], Sequence[bytes]]) -> object:
    return messages.video(frame, packets()[row])
