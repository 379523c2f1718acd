"""The loop of a stage: optimizer, schedule, averaged weights, and a state that resumes exactly.

Everything random about a step is a pure function of (seed, step), so the position is the step.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from realmaster_live.errors import ConfigError
from realmaster_live.model.checkpoint import load_into, read_tensors, write_tensors
from realmaster_live.training.recipe import Recipe, StageRecipe

logger = logging.getLogger(__name__)

LATEST = "LATEST"
FINAL_RATE = 0.02  # of the peak learning rate, at the end


class Stage(Protocol):
    """What a stage trains and by which loss."""

    name: str

    @property
    def module(self) -> nn.Module:
        """What is trained: its parameters that require gradients."""

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return `loss` and what else is worth logging, for the batch of a step."""

    def validate(self) -> dict[str, float]:
        """Return figures on validation clips with the module's present weights."""


def autocast(recipe: Recipe) -> torch.autocast:
    """Return the context that runs matrix products in bfloat16, where the recipe says so.

    Casts are not cached: a cast made without gradients would serve the pass that needs them.
    """
    device = torch.get_default_device().type
    return torch.autocast(device, torch.bfloat16, enabled=recipe.bfloat16, cache_enabled=False)


def learning_rate(recipe: StageRecipe, step: int, elapsed_s: float) -> float:
    """Return the rate: linear warm-up, then a cosine over steps or seconds, whichever is ahead."""
    progress = min(1.0, max(step / recipe.steps, elapsed_s / recipe.budget_s))
    cosine = 0.5 * (1.0 + math.cos(math.pi * progress))
    warm = min(1.0, (step + 1) / max(1, recipe.warm_up))
    return recipe.learning_rate * warm * (FINAL_RATE + (1.0 - FINAL_RATE) * cosine)


class StageState:
    """Weights, averaged weights, optimizer moments, step and elapsed seconds of a stage."""

    def __init__(self, module: nn.Module, recipe: StageRecipe) -> None:
        self.module, self.recipe = module, recipe
        self.parameters = {k: p for k, p in module.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(),
            lr=recipe.learning_rate,
            betas=(0.9, 0.95),
            weight_decay=recipe.weight_decay,
            fused=torch.get_default_device().type == "cuda",
        )
        self.averaged = {k: p.detach().clone() for k, p in self.parameters.items()}
        self.step, self.elapsed_s = 0, 0.0

    def update(self, loss: Tensor) -> float:
        """Take one optimizer step and return the gradient's norm."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe, self.step, self.elapsed_s)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        decay = min(self.recipe.ema, self.step / (self.step + 20.0))
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                self.averaged[name].lerp_(parameter, 1.0 - decay)
        return float(norm)

    def tensors(self) -> dict[str, Tensor]:
        """Return everything but the numbers, by name."""
        tensors: dict[str, Tensor] = {f"weights.{k}": p for k, p in self.parameters.items()}
        tensors |= {f"averaged.{k}": p for k, p in self.averaged.items()}
        for name, parameter in self.parameters.items():
            for kind, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{kind}"] = value
        return tensors

    def save(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Write `step=N` beside the older one, then move LATEST to it, then drop the older."""
        target = folder / f"step={self.step}"
        aside = folder / "part"
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        write_tensors(aside / "state.safetensors", self.tensors())
        numbers = {"step": self.step, "elapsed_s": self.elapsed_s, **facts}
        (aside / "state.json").write_text(json.dumps(numbers, indent=2) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        aside.rename(target)
        pointer = folder / f"{LATEST}.part"
        pointer.write_text(target.name)
        pointer.replace(folder / LATEST)
        for older in folder.glob("step=*"):
            if older != target:
                shutil.rmtree(older)

    def load(self, folder: Path) -> None:
        """Restore what `save` wrote."""
        tensors = read_tensors(folder / "state.safetensors")
        numbers = json.loads((folder / "state.json").read_text())
        self.step, self.elapsed_s = numbers["step"], numbers["elapsed_s"]
        full = self.module.state_dict()
        for name, parameter in self.parameters.items():
            full[name] = tensors[f"weights.{name}"]
            self.averaged[name].copy_(tensors[f"averaged.{name}"])
            prefix = f"optimizer.{name}."
            entries = {
                k: v.to(parameter.device, copy=True)
                for k, v in tensors.items()
                if k.startswith(prefix)
            }
            if entries:
                self.optimizer.state[parameter] = {
                    k.removeprefix(prefix): v for k, v in entries.items()
                }
        load_into(self.module, full, source=str(folder))

    def use_averaged(self) -> dict[str, Tensor]:
        """Put the averaged weights into the module and return the trained ones."""
        trained = {k: p.detach().clone() for k, p in self.parameters.items()}
        self.put(self.averaged)
        return trained

    def put(self, weights: Mapping[str, Tensor]) -> None:
        """Copy weights into the module."""
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(weights[name])


def latest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest saved state of a stage and its numbers, or None before the first."""
    if not (folder / LATEST).is_file():
        return None
    state = folder / (folder / LATEST).read_text()
    numbers: dict[str, Any] = json.loads((state / "state.json").read_text())
    return state, numbers


def check_fingerprint(saved: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    """Raise ConfigError where a resumed stage would go on under other conditions."""
    changed = [k for k in sorted({*saved, *wanted}) if saved.get(k) != wanted.get(k)]
    if changed:
        shown = "; ".join(f"{k} {saved.get(k)!r} -> {wanted.get(k)!r}" for k in changed[:3])
        raise ConfigError(
            f"expected the conditions that {folder} was trained under, got {len(changed)} "
            f"changed ({shown}): restore them, or start a new run"
        )


def run_stage(
    stage: Stage,
    recipe: StageRecipe,
    folder: Path,
    *,
    facts: Callable[[], Mapping[str, Any]],
    save_s: float,
    validate_s: float,
    log: Callable[[dict[str, Any]], None],
    refresh: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = lambda: False,
) -> bool:
    """Train a stage to its end, resuming where it was; return False where `stop` ended it.

    `facts` says what a saved state is saved with; `refresh` is called after every look at the
    validation clips. At the end the module holds the averaged weights.
    """
    state = StageState(stage.module, recipe)
    found = latest(folder)
    if found is not None:
        state.load(found[0])
        logger.info("%s: resumed at step %d", stage.name, state.step)
    saved_at = validated_at = last = time.monotonic()
    finished = False
    while not finished:
        parts = stage.loss(state.step)
        norm = state.update(parts["loss"])
        now = time.monotonic()
        state.elapsed_s += now - last
        last = now
        finished = state.step >= recipe.steps or state.elapsed_s >= recipe.budget_s
        if state.step % 20 == 0 or finished:
            figures = {k: round(float(v.detach()), 5) for k, v in parts.items()}
            log({"stage": stage.name, "step": state.step, "s": round(state.elapsed_s, 1),
                 **figures, "grad": round(norm, 4)})  # fmt: skip
        stopping = stop()
        if finished or stopping or now - saved_at > save_s:
            state.save(folder, {**facts(), "finished": finished})
            saved_at = now
        if stopping and not finished:
            return False
        if finished or now - validated_at > validate_s:
            trained = state.use_averaged()
            log({"stage": stage.name, "step": state.step, "validation": stage.validate()})
            if not finished:
                state.put(trained)
                refresh()
            validated_at = last = time.monotonic()  # looking is not training
    return True
