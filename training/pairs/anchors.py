"""The stage that edits a clip's first and last frame, and checks that the edits are aligned."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.training.pairs import sources
from realmaster_live.training.pairs.alignment import Alignment, measure
from realmaster_live.training.pairs.editors import EditorKind, find_editor, load_editor
from realmaster_live.training.pairs.editors.path_traced import PathTracedEditor
from realmaster_live.training.pairs.editors.protocol import Editor, Picture
from realmaster_live.training.pairs.pipelines import Weights
from realmaster_live.training.pairs.stage import Clip, Job, Stage, StageSpec, Value
from realmaster_live.training.pairs.vace import anchor_frames

PROMPT = (
    "Turn this game render into a real photograph. Keep the composition, camera, objects, text, "
    "faces, poses and colours exactly as they are; change only materials, lighting and textures. "
    "{prompt}"
)


@dataclass(frozen=True, kw_only=True)
class AnchorsConfig(Weights):
    """Table [anchors].

    Attributes:
        editor: qwen-image-edit-2511, qwen-image-edit-2509, flux2-klein-4b, flux1-kontext-dev, or
            path-traced, which takes the frames of the source's own truth.
        accept_licence: consent to an editor's licence, where it asks for one.
        prompt: the instruction to the editor; {prompt} stands for the clip's own prompt.
        count: anchors of a clip: 2 is first and last; more are spread evenly between.
        seed: of the first attempt; each retry takes the next one.
        tries: seeds that are tried until the edits are aligned.
        max_shift_px: largest shift of an edit, or of a half of it, that passes.
        min_edge_f1: smallest edge agreement that passes.
        steps: denoising steps, 0 for what the editor's makers advise.
        guidance: guidance scale, 0 for what the editor's makers advise.
        pixels: size that the editor works at; the result has the clip's own.
        model: weights on the hub, "" for the editor's own.
    """

    editor: str = "qwen-image-edit-2511"
    accept_licence: str = ""
    prompt: str = PROMPT
    count: int = 2
    seed: int = 0
    tries: int = 3
    max_shift_px: float = 2.0
    min_edge_f1: float = 0.5
    steps: int = 0
    guidance: float = 0.0
    pixels: int = 1024 * 1024

    def __post_init__(self) -> None:
        Weights.__post_init__(self)
        if self.count < 2 or self.tries < 1:
            raise ConfigError(
                f"expected count of 2 or more and tries of 1 or more in [anchors], got count "
                f"{self.count} and tries {self.tries}: raise them"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited:
    """Frames edited with one seed, up to the first that is misaligned.

    Attributes:
        seed: of all of them.
        pictures: each (H, W, 3) uint8 RGB. alignments: of each to its frame.
        passed: whether all frames were edited and are aligned.
    """

    seed: int
    pictures: Sequence[Picture]
    alignments: Sequence[Alignment]
    passed: bool


def edit_frames(
    editor: Editor, frames: Sequence[Picture], prompt: str, seed: int, config: AnchorsConfig
) -> Edited:
    """Edit frames with one seed and prompt, the later ones with the first edit as a reference."""
    pictures: list[Picture] = []
    alignments: list[Alignment] = []
    for frame in frames:
        pictures.append(editor.edit(frame, prompt, seed, pictures[0] if pictures else None))
        alignments.append(measure(frame, pictures[-1]))
        if not is_aligned(alignments[-1], config):
            return Edited(seed=seed, pictures=pictures, alignments=alignments, passed=False)
    return Edited(seed=seed, pictures=pictures, alignments=alignments, passed=True)


def is_aligned(alignment: Alignment, config: AnchorsConfig) -> bool:
    """Return whether an edit passes."""
    return alignment.shift_px <= config.max_shift_px and alignment.edge_f1 >= config.min_edge_f1


class AnchorsStage:
    """Writes the edited frames of a clip above each other, in order of time, as a PNG."""

    def __init__(self, config: AnchorsConfig, editor: Editor | None = None) -> None:
        """Check the options; without an `editor` that is loaded, the first clip loads one."""
        self.config = config
        self.kind: EditorKind = find_editor(config.editor, config.accept_licence)
        self._loaded = editor

    @property
    def spec(self) -> StageSpec:
        """Return what decides the keys."""
        config = self.config
        parameters: dict[str, Value] = {
            "editor": config.editor,
            "count": config.count,
            "tries": self.tries,
            "max_shift_px": config.max_shift_px,
            "min_edge_f1": config.min_edge_f1,
        }
        if self.kind.form is not None:
            parameters |= {
                "prompt": config.prompt,
                "seed": config.seed,
                "steps": self.steps,
                "guidance": self.guidance,
                "pixels": config.pixels,
                "revision": config.revision,
                "dtype": config.dtype,
            }
        return StageSpec(
            name="anchors",
            version=1,
            suffix=".png",
            parameters=parameters,
            model=config.model or self.kind.model,
            licence=config.licence or self.kind.licence,
        )

    @property
    def steps(self) -> int:
        """Return the denoising steps of an edit."""
        return self.config.steps or self.kind.steps

    @property
    def guidance(self) -> float:
        """Return the guidance scale of an edit."""
        return self.config.guidance or self.kind.guidance

    @property
    def tries(self) -> int:
        """Return how many seeds are tried; one for an editor without randomness."""
        return self.config.tries if self.kind.form is not None else 1

    def run(self, job: Job, target: Path) -> Mapping[str, Value]:
        """Write the edited frames (count * H, W, 3); PairError where no seed aligns."""
        clip, config = job.clip, self.config
        indices = anchor_frames(clip.frames, config.count)
        frames = sources.read_frames(clip)[indices]
        editor = self._editor(clip, indices, frames)
        prompt = config.prompt.replace("{prompt}", clip.prompt).strip()
        began = time.perf_counter()
        attempts: list[Edited] = []
        while len(attempts) < self.tries and not (attempts and attempts[-1].passed):
            seed = config.seed + len(attempts)
            attempts.append(edit_frames(editor, list(frames), prompt, seed, config))
        chosen = attempts[-1]
        if not chosen.passed:
            raise PairError(refusal(attempts, config))
        picture = cv2.cvtColor(np.concatenate(chosen.pictures), cv2.COLOR_RGB2BGR)
        target.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        return {
            "editor": config.editor,
            "frames": [int(i) for i in indices],
            "seed": chosen.seed,
            "tries": len(attempts),
            "steps": self.steps,
            "seconds": round(time.perf_counter() - began, 3),
            "shift_px": [round(a.shift_px, 3) for a in chosen.alignments],
            "edge_f1": [round(a.edge_f1, 4) for a in chosen.alignments],
        }

    def _editor(self, clip: Clip, indices: Sequence[int], frames: NDArray[np.uint8]) -> Editor:
        """Return the editor; the truth's frames are one of their own for every clip."""
        if self.kind.form is None:
            return PathTracedEditor(frames, sources.read_truth(clip)[indices])
        if self._loaded is None:
            self._loaded = load_editor(
                self.kind,
                replace(self.config, model=self.spec.model, licence=self.spec.licence),
                steps=self.steps,
                guidance=self.guidance,
                pixels=self.config.pixels,
            )
        return self._loaded


def refusal(attempts: Sequence[Edited], config: AnchorsConfig) -> str:
    """Return the error message: the limits, and the best attempt."""
    best = max(attempts, key=lambda edited: min(a.edge_f1 for a in edited.alignments))
    measured = ", ".join(f"{a.shift_px:.1f} px and F1 {a.edge_f1:.2f}" for a in best.alignments)
    return (
        f"expected edits shifted by at most {config.max_shift_px} px with an edge F1 of at least "
        f"{config.min_edge_f1}, got at best {measured} with seed {best.seed} of {len(attempts)}: "
        "raise tries, loosen max_shift_px or min_edge_f1, or leave the clip out"
    )


def make(config: AnchorsConfig, dataset: Path) -> Stage:
    """Return the stage; `dataset` is not read."""
    return AnchorsStage(config)
