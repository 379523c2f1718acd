"""Recipes of distillation: a TOML file, with a frozen dataclass for each table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from realmaster_live.errors import ConfigError
from realmaster_live.training.distillation.dmd2 import DMD2Config
from realmaster_live.training.distillation.gates import GatesConfig
from realmaster_live.training.distillation.regress import RegressConfig
from realmaster_live.training.iclora.base import BaseConfig
from realmaster_live.training.optimization import Optimization
from realmaster_live.training.recipe_tables import build, flat
from realmaster_live.training.recompute import Recompute

Method = Literal["regress", "dmd2", "self-forcing"]
Trains = Literal["weights", "adapter"]
Weights = Literal["fp32", "bf16", "int8"]

STUDENT = Optimization(
    steps=1000, learning_rate=2e-6, beta1=0.0, beta2=0.999, schedule="constant", ema_from=200
)
JUDGE = dataclasses.replace(STUDENT, learning_rate=4e-7)  # critic and discriminator


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillRecipe:
    """A whole distillation.

    Attributes:
        method: "regress" (teacher forcing with paired losses), "dmd2" (teacher forcing on samples
            of the student's own steps, also with the [dmd2] losses) or "self-forcing" (rollouts
            with paired losses, and the [dmd2] losses that have weights).
        student_steps: denoise steps of the student; 0 takes the profile's.
        teacher_steps: denoise steps in which the teacher is evaluated for comparison; 0 skips it.
        trains: "weights" to train all of them, or "adapter" for a LoRA of the teacher's base.
        rank: rank of a new adapter; a teacher's adapter keeps its own.
        critic_trains: the same choice for the critic, which is initialized from the teacher.
        weights: storage type of frozen weights, the teacher's and those under an adapter.
        recompute: what the backward pass computes anew instead of keeping it: "nothing", "blocks"
            or "passes", which holds one chunk's activations at a time; see `training.recompute`.
        same_step: whether the gradient goes through the same step in all chunks of a rollout.
        seed: seed of batches, noise and steps.
        threads: CPU threads of torch.
        bfloat16: whether matrix products run in bfloat16.
        batch: samples per batch. chunks: consecutive chunks per sample.
        sink_elsewhere: share of samples whose sink comes from another clip of the same drive.
        save_s: seconds between saved states. save_steps: the student's steps between saved states;
            0 saves by time alone.
        validate_s, validate_steps: the same for validations.
        base: name and licence of the base model, and options to read a diffusers model.
        student: the student's optimizer; its steps are those of the run.
        critic: the critic's optimizer. discriminator: the discriminator's optimizer.
        regress: paired losses. dmd2: matching and adversarial losses.
        gates: limits that a student must meet.
    """

    method: Method = "regress"
    student_steps: int = 0
    teacher_steps: int = 0
    trains: Trains = "weights"
    rank: int = 32
    critic_trains: Trains = "weights"
    weights: Weights = "fp32"
    recompute: Recompute = "nothing"
    same_step: bool = False
    seed: int = 0
    threads: int = 2
    bfloat16: bool = True
    batch: int = 4
    chunks: int = 3
    sink_elsewhere: float = 0.5
    save_s: float = 300.0
    save_steps: int = 0
    validate_s: float = 600.0
    validate_steps: int = 0
    base: BaseConfig = field(default_factory=BaseConfig)
    student: Optimization = STUDENT
    critic: Optimization = JUDGE
    discriminator: Optimization = JUDGE
    regress: RegressConfig = field(default_factory=RegressConfig)
    dmd2: DMD2Config = field(default_factory=DMD2Config)
    gates: GatesConfig = field(default_factory=GatesConfig)

    def __post_init__(self) -> None:
        if self.discriminator.accumulate != self.critic.accumulate:
            raise ConfigError(
                "expected critic and discriminator to accumulate alike, as they judge the same "
                f"samples, got {self.critic.accumulate} and {self.discriminator.accumulate}: "
                "give them the same"
            )
        for name in ("batch", "chunks", "rank"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"expected {name} of at least 1, got {getattr(self, name)}: raise it"
                )

    @property
    def matches(self) -> bool:
        """Return whether distribution matching is used, which needs critic and teacher."""
        return self.method != "regress" and self.dmd2.weight > 0

    @property
    def discriminates(self) -> bool:
        """Return whether a discriminator is used."""
        return self.method != "regress" and self.dmd2.gan_weight > 0

    @property
    def needs_teacher(self) -> bool:
        """Return whether the teacher is needed after the student's initialization."""
        return self.matches or (self.method == "regress" and self.regress.consistency_weight > 0)


def parse_recipe(table: Mapping[str, Any]) -> DistillRecipe:
    """Return the recipe of a parsed TOML table; unknown keys are errors."""
    return build(DistillRecipe, table)


FREE = (
    "threads",
    "recompute",
    "teacher_steps",
    "save_s",
    "save_steps",
    "validate_s",
    "validate_steps",
    "gates",
)


def fingerprint(recipe: DistillRecipe) -> dict[str, Any]:
    """Return the options that must not change when a run is resumed, as flat JSON values."""
    return {
        key: value
        for key, value in flat(recipe).items()
        if key.partition(".")[0] not in FREE and not key.endswith(".budget_s")
    }
