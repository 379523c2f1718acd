"""The pipeline that makes training pairs: edited anchors, propagated along edges by VACE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

from realmaster_live.errors import ConfigError, RealMasterError
from realmaster_live.prompts import describe
from realmaster_live.training.evaluate.baselines.baseline import Piece
from realmaster_live.training.evaluate.baselines.fitting import Frames
from realmaster_live.training.evaluate.baselines.staged import staged
from realmaster_live.training.pairs import preflight, videos
from realmaster_live.training.pairs.recipe import Recipe, load_recipe
from realmaster_live.training.pairs.stage import Job, Stage, Value
from realmaster_live.training.pairs.stages import make_stage

STAGES = ("anchors", "edges", "propagate")
SHIPPED = "pairs-wan.toml"


@dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """Table [pipeline].

    Attributes:
        recipe: a recipe of `realmaster pairs`, whose [anchors], [edges] and [propagate] count; ""
            takes the shipped one for Wan.
        prompt: the caption of every piece.
        frames: most frames of a piece, which has anchors of its own.
        pixels: of the pictures that it works on; they keep the render's proportions.
    """

    recipe: str = ""
    prompt: str = describe([])
    frames: int = 81
    pixels: int = 832 * 480


class PairPipeline:
    """Runs three stages on every piece."""

    def __init__(self, config: PipelineConfig) -> None:
        """Take the options; the first piece loads the networks."""
        self.config = config

    @cached_property
    def recipe(self) -> Recipe:
        """Return the recipe of the stages."""
        shipped = files("realmaster_live.training") / "recipes" / SHIPPED
        return load_recipe(Path(self.config.recipe or str(shipped)))

    @cached_property
    def stages(self) -> Mapping[str, Stage]:
        """Return the stages by name."""
        return {name: make_stage(name, self.recipe.config(name), Path()) for name in STAGES}

    def window(self, fps: float) -> int:
        """Return the most frames of a piece."""
        return self.config.frames

    @property
    def parameters(self) -> Mapping[str, Value]:
        """What decides a film: what decides the files of the stages, and the caption."""
        specs = [stage.spec for stage in self.stages.values()]
        return {
            "prompt": self.config.prompt,
            "frames": self.config.frames,
            "pixels": self.config.pixels,
            "stages": {spec.name: f"{spec.version} {spec.parameters_hash}" for spec in specs},
        }

    def check(self) -> None:
        """Look for the networks of all stages; names all that is missing."""
        problems = []
        for name in ("anchors", "propagate"):
            for check in preflight.CHECKS[name](self.recipe.config(name)):
                try:
                    check()
                except RealMasterError as error:
                    problems.append(f"[{name}] {error}")
        for name in STAGES:  # of the truth of a source, or of labels, a film has none
            wants = self.recipe.tables.get(name, {})
            if {"path-traced", "exact", "depth"} & {
                wants.get(key) for key in ("editor", "method", "control")
            }:
                problems.append(
                    f"[{name}] expected an editor, edges by Canny and VACE for a film, which has "
                    f"neither truth nor labels, got {dict(wants)}: give another recipe"
                )
        if problems:
            raise ConfigError("; ".join(problems))

    def realize(self, piece: Piece, place: Path) -> Frames:
        """Return the piece as the pipeline makes it."""
        with staged(piece, self.config.pixels, self.config.prompt) as (clip, folder):
            made: dict[str, Path] = {}
            for name, stage in self.stages.items():
                target = folder / f"{name}{stage.spec.suffix}"
                inputs = {earlier: made[earlier] for earlier in stage.spec.after}
                stage.run(Job(clip=clip, inputs=inputs), target)
                made[name] = target
            return videos.read_video(made["propagate"])[: len(piece.frames)]


def make(config: PipelineConfig) -> PairPipeline:
    """Return the method."""
    return PairPipeline(config)
