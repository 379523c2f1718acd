"""Recipes: TOML files, with a frozen dataclass for each table; unknown keys are errors."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from realmaster_live.errors import ConfigError
from realmaster_live.model.profile import EMBEDDED, Profile
from realmaster_live.training.optimization import Optimization
from realmaster_live.training.recipe_tables import build, flat, read_table

METHODS = ("stages", "ic-lora", "decoder")
STAGES = ("autoencoder", "transformer", "distill", "decoder", "joint")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecipe:
    """How one stage is trained.

    Attributes:
        budget_s: wall-clock seconds, summed over resumes; the learning rate has decayed by then.
        steps: maximum number of optimizer steps; the stage ends at whichever comes first.
        batch: samples per step.
        height: crop height in pixels (pixel stages).
        width: crop width in pixels (pixel stages).
        whole_share: share of steps on whole pictures instead of crops (joint).
        chunks: consecutive chunks of a sample.
        single_share: share of steps on single chunks without a past (joint).
        learning_rate: peak of the cosine schedule.
        warm_up: steps of linear warm-up.
        weight_decay: AdamW's.
        ema: decay of the averaged weights, which are the stage's result.
        noise: largest noise on true latents (pixel stages) or on the past (transformer), in
            standard deviations.
        history_dropout: share of steps without a past.
        gradient_weight: weight of the gradient loss.
        temporal_weight: weight of the temporal loss.
        light_weight: weight of the step of the light from frame to frame.
        pyramid_weight: weight of the pyramid loss.
        chroma_weight: weight of the colour loss.
        perceptual_weight: weight of the VGG feature loss (joint); 0 needs no pretrained network.
        adversarial_weight: weight of a patch discriminator's verdict (joint); 0 trains none.
        adversary_rate: the discriminator's learning rate.
        adversary_penalty: weight of R1, the squared gradient of its verdict on the truth.
        plain_weight: weight of reconstruction without guidance (autoencoder).
        rollout_share: share of samples whose latents are the student's own (decoder).
        falling_share: share of steps on clips with rain or snow only (joint).
        varied_share: share of samples whose render gets a random look (joint).
        falling_weight: weight of the error on drops and flakes (joint).
        geometry_dropout: share of samples without depth, and share without classes (joint).
        light_dropout: share of samples without light (joint).
        frozen: parts of the networks that are not trained, by prefixes of their parameters'
            names, such as "autoencoder.encoder" (joint).
    """

    budget_s: float = 600.0
    steps: int = 1_000_000
    batch: int = 4
    height: int = 160
    width: int = 256
    whole_share: float = 0.5
    single_share: float = 0.5
    chunks: int = 2
    learning_rate: float = 1e-3
    warm_up: int = 50
    weight_decay: float = 0.01
    ema: float = 0.99
    noise: float = 0.35
    history_dropout: float = 0.15
    gradient_weight: float = 0.5
    temporal_weight: float = 0.1
    light_weight: float = 0.0
    pyramid_weight: float = 0.3
    chroma_weight: float = 3.0
    perceptual_weight: float = 0.0
    adversarial_weight: float = 0.0
    adversary_rate: float = 2e-4
    adversary_penalty: float = 1.0
    plain_weight: float = 0.5
    rollout_share: float = 0.75
    falling_share: float = 0.0
    varied_share: float = 0.0
    falling_weight: float = 1.0
    geometry_dropout: float = 0.5
    light_dropout: float = 0.3
    frozen: tuple[str, ...] = ()

    @property
    def optimization(self) -> Optimization:
        """Return the options of the optimizer."""
        return Optimization(
            steps=self.steps,
            budget_s=self.budget_s,
            learning_rate=self.learning_rate,
            warm_up=self.warm_up,
            weight_decay=self.weight_decay,
            ema=self.ema,
        )

    @property
    def adversary(self) -> Optimization:
        """Return the options of the discriminator's optimizer."""
        return Optimization(
            steps=self.steps,
            budget_s=self.budget_s,
            learning_rate=self.adversary_rate,
            warm_up=0,
            schedule="constant",
            weight_decay=0.0,
            beta1=0.0,
            beta2=0.99,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A whole training run.

    Attributes:
        seed: seed of initial weights, batches, noise and timesteps.
        threads: CPU threads of torch.
        bfloat16: whether matrix products run in bfloat16.
        save_s: seconds between saved states.
        validate_s: seconds between validations.
        stages: the stages of the run, in order.
        profile: the model's sizes.
        autoencoder: training of the streaming autoencoder with its guided decoder.
        transformer: training of the teacher by flow matching with x0 prediction.
        distill: training of the few-step student on its own rollouts.
        decoder: training of the guided decoder on the student's latents.
        joint: training of all networks together, on pixels.
    """

    seed: int = 0
    threads: int = 2
    bfloat16: bool = True
    save_s: float = 90.0
    validate_s: float = 150.0
    stages: tuple[str, ...] = STAGES
    profile: Profile = EMBEDDED
    autoencoder: StageRecipe = field(default_factory=StageRecipe)
    transformer: StageRecipe = field(default_factory=StageRecipe)
    distill: StageRecipe = field(default_factory=StageRecipe)
    decoder: StageRecipe = field(default_factory=StageRecipe)
    joint: StageRecipe = field(default_factory=StageRecipe)

    def __post_init__(self) -> None:
        """Refuse stages that are unknown or out of order."""
        if not self.stages or self.stages != tuple(s for s in STAGES if s in self.stages):
            raise ConfigError(
                f"expected stages among {', '.join(STAGES)}, in this order, got "
                f"{list(self.stages)}: leave out what is not to run"
            )


def method_of(table: dict[str, Any]) -> str:
    """Return a recipe's method; by default "stages", which trains the embedded model."""
    method = str(table.get("method", METHODS[0]))
    if method not in METHODS:
        raise ConfigError(
            f"expected a method among {', '.join(METHODS)}, got {method!r}: take one of them"
        )
    return method


def parse_recipe(table: dict[str, Any]) -> Recipe:
    """Return the recipe of a parsed TOML table."""
    return build(Recipe, {key: value for key, value in table.items() if key != "method"})


def load_recipe(path: Path | str) -> Recipe:
    """Return the recipe in a TOML file."""
    return parse_recipe(read_table(path))


def fingerprint(recipe: Recipe, stage: str) -> dict[str, Any]:
    """Return the options that must not change when a stage is resumed; budgets and threads may."""
    kept = (f"{stage}.", "profile.")
    return {
        key: value
        for key, value in flat(recipe).items()
        if key in ("seed", "bfloat16") or (key.startswith(kept) and key != f"{stage}.budget_s")
    }


def recipe_hash(recipe: Any) -> str:
    """Return the sha256 of a resolved recipe, a dataclass."""
    text = json.dumps(dataclasses.asdict(recipe), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
