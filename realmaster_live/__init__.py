"""Makes a running driving simulator look real: live, chunk by chunk, with every label kept."""

from realmaster_live.errors import RealMasterError
from realmaster_live.frames.chunk import Chunk, ChunkSpec, Frame
from realmaster_live.live.realize import realize

__all__ = ["Chunk", "ChunkSpec", "Frame", "RealMasterError", "realize"]
