"""Single frames through an engine of longer chunks, where no model of one-frame chunks is there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.live.wrapper import EngineWrapper
from realmaster_live.protocols import Engine


class OneFrameEngine(EngineWrapper):
    """Realizes each frame alone: a chunk of copies of it, of which the last is taken.

    A frame costs what a whole chunk costs. The engine's past then holds standing scenes, so that
    its motion is less steady than with chunks; a model that was trained on one-frame chunks has
    neither drawback and needs no wrapper.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._size = engine.spec.first_frames

    @property
    def spec(self) -> ChunkSpec:
        """The engine's chunks, one frame long."""
        return replace(self.engine.spec, frames=1, first_frames=1)

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the chunk of one frame, realized."""
        frames = np.repeat(chunk.frames, self._size, axis=0)
        copies = replace(
            chunk,
            frames=frames,
            frame_ids=np.repeat(chunk.frame_ids, self._size),
            timestamps=np.repeat(chunk.timestamps, self._size),
            captured_at=np.repeat(chunk.captured_at, self._size),
            cam_to_world=np.repeat(chunk.cam_to_world, self._size, axis=0),
            labels={},
            objects=(),
            sources=chunk.sources * self._size,
            ego_to_world=None,
            egos=(),
        )
        realized = self.engine.realize(copies)
        self._size = self.engine.spec.frames
        return replace(
            chunk.with_frames(np.ascontiguousarray(realized.frames[-1:])),
            prompt=realized.prompt,
            prompt_weight=realized.prompt_weight,
            seed=realized.seed,
        )

    def reset(self) -> None:
        """Forget all earlier frames."""
        self.engine.reset()
        self._size = self.engine.spec.first_frames


def one_frame(engine: Engine) -> Engine:
    """Return an engine of one-frame chunks: this one if it is one, else wrapped."""
    spec = engine.spec
    return engine if spec.frames == spec.first_frames == 1 else OneFrameEngine(engine)
