"""A live chunk on Foxglove's topics, those of an MCAP export of a recording.

/tf                       FrameTransforms    map to ego to each camera
/things                   SceneUpdate        the 3D boxes of what is in view
/CAMERA/calibration       CameraCalibration
/CAMERA/sim, /CAMERA/real CompressedVideo    H.264, each chunk from a key frame on
/CAMERA/trust             JSON               the gate's scores, where it judged
"""

from __future__ import annotations

from functools import partial

from realmaster_live.frames.chunk import Chunk
from realmaster_live.messages import foxglove as messages
from realmaster_live.messages.foxglove_log import FoxgloveLog
from realmaster_live.sinks.encoding import Encodings, Which

STREAMS: tuple[Which, Which] = ("sim", "real")


class FoxgloveTopics:
    """Writes chunks to a log; all cameras' things, which are the same, once a tick."""

    def __init__(self) -> None:
        self.log = FoxgloveLog()
        self._first = ""  # camera, with whose frames the things are written

    def write(self, chunk: Chunk, encodings: Encodings) -> None:
        """Log all messages of a chunk."""
        self._first = self._first or chunk.camera
        height, width = chunk.frames.shape[1:3]
        for row in range(len(chunk)):
            frame = chunk.frame(row)
            self.log.pose(frame, (width, height))
            if chunk.camera == self._first:
                self.log.things(frame)
            if chunk.trust:
                self.log.trust(frame, chunk.trust[row])
            for which in STREAMS:
                if which == "real" or chunk.rendered is not None:
                    video = partial(_video, chunk, row, which, encodings)
                    self.log.log(f"/{chunk.camera}/{which}", "CompressedVideo", video, frame)


def _video(chunk: Chunk, row: int, which: Which, encodings: Encodings) -> object:
    return messages.video(chunk.frame(row), encodings.h264(chunk, which)[row])
