"""A wrapper of an engine that sets, chunk by chunk, the prompts a recording was made with."""

from __future__ import annotations

from collections.abc import Mapping

from realmaster_live.frames.chunk import Chunk
from realmaster_live.live.wrapper import EngineWrapper, realized_together
from realmaster_live.prompts import Fade
from realmaster_live.protocols import Engine
from realmaster_live.recording import Recording


def recorded_prompts(recording: Recording, camera: str) -> dict[int, tuple[str, int]]:
    """Return first frame of a chunk -> (prompt, chunks of cross-fade), for every change of prompt.

    A prompt that is set with n chunks of fading has the weight 1 / (n + 1) in the first of them.
    """
    rows = recording.table("frames", camera).select(
        ["frame_id", "chunk_index", "prompt", "prompt_weight"]
    )
    changes: dict[int, tuple[str, int]] = {}
    index, fade = None, None
    for row in rows.to_pylist():
        if row["chunk_index"] == index or row["prompt"] is None:
            continue
        index = row["chunk_index"]
        if fade is not None:
            fade.step()
        if fade is None or (fade.prompt, fade.weight) != (row["prompt"], row["prompt_weight"]):
            mixed = round(1.0 / row["prompt_weight"]) - 1
            changes[row["frame_id"]] = (row["prompt"], mixed)
            fade = Fade(row["prompt"])
            fade.start(row["prompt"], mixed)
            fade.step()
    return changes


class RecordedPrompts(EngineWrapper):
    """Sets an engine's prompts as `recorded_prompts` returns them; the engine stays open."""

    def __init__(
        self, engine: Engine, prompts: Mapping[int, tuple[str, int]] | None = None
    ) -> None:
        super().__init__(engine)
        self._prompts = prompts or {}

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the realized chunk; a prompt that was recorded from it on is set first."""
        self._change(chunk)
        return super().realize(chunk)

    def realize_together(self, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """Return the realized chunks of several cameras, all of which change their prompt alike."""
        self._change(chunks[0])
        return realized_together(self.engine, chunks)

    def _change(self, chunk: Chunk) -> None:
        """Set the prompt that was recorded from this chunk on, if it is another one."""
        change = self._prompts.get(int(chunk.frame_ids[0]))
        if change is not None:
            self.set_prompt(*change)

    def close(self) -> None:
        """Do nothing: whoever loaded the engine closes it."""
