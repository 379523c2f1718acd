"""Recipes of an IC-LoRA: a TOML file, a frozen dataclass for each table; unknown keys are errors.

The defaults are our own starting values, in the range of public trainers; RealMaster's are not
public.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from realmaster_live.errors import ConfigError
from realmaster_live.model.lora import DEFAULT_TARGETS
from realmaster_live.training.iclora.base import BaseConfig
from realmaster_live.training.iclora.conditions import Conditions
from realmaster_live.training.iclora.timesteps import Timesteps
from realmaster_live.training.optimization import Optimization
from realmaster_live.training.recipe_tables import build, flat, read_table

METHOD: Literal["ic-lora"] = "ic-lora"
Weights = Literal["fp32", "bf16", "int8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterConfig:
    """The adapter's size and metadata.

    Attributes:
        rank: inner size of the low-rank products.
        alpha: the products are scaled by alpha / rank.
        targets: suffixes of the names of the linear layers to adapt.
        trigger: words that prompts must contain, for the header.
        licence: licence of the adapter, for the header.
    """

    rank: int = 32
    alpha: float = 32.0
    targets: tuple[str, ...] = DEFAULT_TARGETS
    trigger: str = ""
    licence: str = "Apache-2.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Options that save memory.

    Attributes:
        bfloat16: whether matrix products run in bfloat16.
        weights: storage type of frozen linear weights: fp32, bf16 or int8.
        checkpointing: whether blocks are recomputed in the backward pass.
    """

    bfloat16: bool = True
    weights: Weights = "bf16"
    checkpointing: bool = True

    def __post_init__(self) -> None:
        if self.weights == "bf16" and not self.bfloat16:
            raise ConfigError(
                "expected products in bfloat16 of weights in bf16, got bfloat16 = false: set it, "
                'or weights = "fp32"'
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """Validation during training.

    Attributes:
        every: optimizer steps between validations.
        clips: maximum number of clips.
        chunks: maximum number of consecutive chunks of a clip.
        steps: denoise steps; 0 takes the model's own number, which only suits a distilled model.
        guidance: classifier-free guidance over the prompt; 1 is none, and takes half the time.
        seed: seed of the noise, as in the live engine.
    """

    every: int = 250
    clips: int = 4
    chunks: int = 4
    steps: int = 0
    guidance: float = 1.0
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class IcLoraRecipe:
    """A whole run.

    Attributes:
        method: "ic-lora".
        seed: seed of the adapter, batches, noise and timesteps.
        threads: CPU threads of torch; 0 keeps its default.
        batch: samples per batch over all processes; a step takes `accumulate` batches.
        save_steps: optimizer steps between saved states.
        log_steps: optimizer steps between lines of the log.
        tensorboard: whether the log is also written for TensorBoard.
        base: the frozen model. adapter: its adapter.
        conditions: random conditioning of a step. timesteps: distribution of noise levels.
        optimizer: options of the optimizer.
        memory: options that save memory. validation: validation during training.
    """

    method: Literal["ic-lora"] = METHOD
    seed: int = 0
    threads: int = 0
    batch: int = 1
    save_steps: int = 250
    log_steps: int = 20
    tensorboard: bool = False
    base: BaseConfig = field(default_factory=BaseConfig)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    conditions: Conditions = field(default_factory=Conditions)
    timesteps: Timesteps = field(default_factory=Timesteps)
    optimizer: Optimization = field(default_factory=Optimization)
    memory: Memory = field(default_factory=Memory)
    validation: Validation = field(default_factory=Validation)


FREE = (
    "threads",
    "save_steps",
    "log_steps",
    "tensorboard",
    "base.checkpoint",
    "optimizer.budget_s",
)
"""Options that may change when a run is resumed, besides [validation]."""


def parse_recipe(table: dict[str, Any]) -> IcLoraRecipe:
    """Return the recipe of a parsed TOML table."""
    return build(IcLoraRecipe, table)


def load_recipe(path: Path | str) -> IcLoraRecipe:
    """Return the recipe in a TOML file."""
    return parse_recipe(read_table(path))


def fingerprint(recipe: IcLoraRecipe, *, data_sha256: str, base_sha256: str) -> dict[str, Any]:
    """Return the options that must not change when a run is resumed, by flat keys."""
    kept = {
        key: value
        for key, value in flat(recipe).items()
        if key not in FREE and not key.startswith("validation.")
    }
    return {**kept, "data.sha256": data_sha256, "base.sha256": base_sha256}
