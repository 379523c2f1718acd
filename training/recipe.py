"""Recipes: TOML files, with a frozen dataclass for each table; unknown keys are errors."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from realmaster_live.errors import ConfigError
from realmaster_live.model.profile import EMBEDDED, Profile
from realmaster_live.system.texts import parse_toml
from realmaster_live.training.optimization import Optimization

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
        pyramid_weight: weight of the pyramid loss.
        chroma_weight: weight of the colour loss.
        perceptual_weight: weight of the VGG feature loss (joint); 0 needs no pretrained network.
        plain_weight: weight of reconstruction without guidance (autoencoder).
        rollout_share: share of samples whose latents are the student's own (decoder).
        falling_share: share of steps on clips with rain or snow only (joint).
        varied_share: share of samples whose render gets a random look (joint).
        falling_weight: weight of the error on drops and flakes (joint).
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
    pyramid_weight: float = 0.3
    chroma_weight: float = 3.0
    perceptual_weight: float = 0.0
    plain_weight: float = 0.5
    rollout_share: float = 0.75
    falling_share: float = 0.0
    varied_share: float = 0.0
    falling_weight: float = 1.0
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


def check_keys(kind: type[Any], table: dict[str, Any], where: str) -> None:
    """Raise ConfigError for an unknown key, and suggest the most similar known one."""
    known = [entry.name for entry in dataclasses.fields(kind)]
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}" if near else f"use one of {', '.join(known)}"
            raise ConfigError(f"expected a known key in {where}, got {key!r}: {hint}")


def method_of(table: dict[str, Any]) -> str:
    """Return a recipe's method; by default "stages", which trains the embedded model."""
    method = str(table.get("method", METHODS[0]))
    if method not in METHODS:
        raise ConfigError(
            f"expected a method among {', '.join(METHODS)}, got {method!r}: take one of them"
        )
    return method


def check_stages(names: list[str]) -> tuple[str, ...]:
    """Return the stages, or raise ConfigError where they are unknown or out of order."""
    if not names or names != [name for name in STAGES if name in names]:
        raise ConfigError(
            f"expected stages among {', '.join(STAGES)}, in this order, got {names}: "
            "leave out what is not to run"
        )
    return tuple(names)


def parse_recipe(table: dict[str, Any]) -> Recipe:
    """Return the recipe of a parsed TOML table."""
    values = {k: v for k, v in table.items() if k != "method"}
    check_keys(Recipe, values, "the recipe")
    if "profile" in values:
        check_keys(Profile, values["profile"], "[profile]")
        values["profile"] = dataclasses.replace(EMBEDDED, **values["profile"])
    if "stages" in values:
        values["stages"] = check_stages(values["stages"])
    for name in STAGES:
        if name in values:
            check_keys(StageRecipe, values[name], f"[{name}]")
            stage = dict(values[name])
            stage["frozen"] = tuple(stage.get("frozen", ()))
            values[name] = StageRecipe(**stage)
    return Recipe(**values)


def read_table(path: Path | str) -> dict[str, Any]:
    """Return the parsed TOML of a recipe, whatever its method."""
    try:
        return parse_toml(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"expected a recipe in TOML at {path}, got {error}: start from embedded.toml"
        ) from error


def load_recipe(path: Path | str) -> Recipe:
    """Return the recipe in a TOML file."""
    return parse_recipe(read_table(path))


def toml_of(table: Mapping[str, Any]) -> str:
    """Return a nested table of plain values as TOML; `read_table` reads the same table."""
    plain = {k: v for k, v in table.items() if not isinstance(v, Mapping)}
    lines = [f"{key} = {_toml(value)}" for key, value in plain.items()]
    for name, inner in table.items():
        if isinstance(inner, Mapping):
            lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in inner.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Return a plain value as TOML writes it."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value) if isinstance(value, float) else json.dumps(value)


def fingerprint(recipe: Recipe, stage: str) -> dict[str, Any]:
    """Return the options that must not change when a stage is resumed; budgets and threads may."""
    table = dataclasses.asdict(recipe)
    entries = {f"{stage}.{k}": v for k, v in table[stage].items() if k != "budget_s"}
    entries |= {"seed": recipe.seed, "bfloat16": recipe.bfloat16}
    entries |= {f"profile.{k}": v for k, v in table["profile"].items()}
    as_saved: dict[str, Any] = json.loads(json.dumps(entries))
    return as_saved


def recipe_hash(recipe: Any) -> str:
    """Return the sha256 of a resolved recipe, a dataclass."""
    text = json.dumps(dataclasses.asdict(recipe), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
