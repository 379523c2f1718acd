"""An engine that changes nothing, to test a bridge and as the baseline of measurements."""

from __future__ import annotations

from realmaster_live.engines.sizes import check_cameras, check_fits, check_together, spec_text
from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.prompts import AS_SIMULATED, check_prompt

BYTES = 6  # a pixel: it and its copy


class IdentityEngine:
    """Returns every chunk with its own frames; `rendered` is set as by any engine."""

    name = "identity"
    prompts: tuple[str, ...] = ()

    def __init__(self, spec: ChunkSpec, *, cameras: int = 1) -> None:
        check_cameras(cameras)
        check_fits(spec, BYTES)
        self._spec, self.cameras = spec, cameras

    def __repr__(self) -> str:
        """Return text that names the chunk size."""
        return f"IdentityEngine({spec_text(self._spec)})"

    @property
    def spec(self) -> ChunkSpec:
        """The chunks this engine takes."""
        return self._spec

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the chunk with a copy of its own frames."""
        return chunk.with_frames(chunk.frames.copy())

    def realize_together(self, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """Return the chunks of all cameras with a copy of their own frames."""
        check_together(chunks, self.cameras)
        return tuple(map(self.realize, chunks))

    def set_prompt(self, prompt: str, fade_chunks: int = 0) -> None:
        """Accept the prompt that changes nothing; EngineError for any other."""
        check_prompt(prompt, (AS_SIMULATED,))

    def sibling(self) -> IdentityEngine:
        """Return another identity engine."""
        return IdentityEngine(self._spec, cameras=self.cameras)

    def reset(self) -> None:
        """Do nothing: there is no state."""

    def close(self) -> None:
        """Do nothing: there is no device."""

    def __enter__(self) -> IdentityEngine:
        """Return self."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()
