"""Makes a running driving simulator look real: live, chunk by chunk, with every label kept."""

from realmaster_live.chunk import Chunk, ChunkSpec, Frame
from realmaster_live.door import realize
from realmaster_live.errors import RealMasterError

__all__ = ["Chunk", "ChunkSpec", "Frame", "RealMasterError", "realize"]
