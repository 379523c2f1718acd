"""A stage's training loop: accumulation, optimizer, weight averaging, and bit-exact resuming.

Everything random about a step is a pure function of (seed, step), so the step is the only position.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from realmaster_live.errors import BuildError, ConfigError
from realmaster_live.model.checkpoint import read_tensors
from realmaster_live.training.checkpoints import latest, write_state
from realmaster_live.training.optimization import Optimization, averaging, learning_rate
from realmaster_live.training.recipe import Recipe

logger = logging.getLogger(__name__)

WEIGHTS, OPTIMIZER = "weights.safetensors", "optimizer.safetensors"


class Stage(Protocol):
    """A stage of training: its module, its loss and its validation."""

    name: str

    @property
    def module(self) -> nn.Module:
        """The module; its parameters that require gradients are trained."""

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return `loss`, and other values to log, for a batch.

        Batches are numbered consecutively: optimizer step s, with accumulation over n, takes
        batches s n to s n + n - 1.
        """

    def validate(self) -> dict[str, Any]:
        """Return metrics on validation clips with the module's present weights."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An interval in steps or seconds, whichever comes first."""

    steps: int = 0  # 0: not by steps
    seconds: float = math.inf

    def due(self, step: int, waited_s: float) -> bool:
        """Return whether the interval has passed, at `step` and after these seconds."""
        return bool(self.steps and step % self.steps == 0) or waited_s > self.seconds


def never() -> bool:
    """Let a run go on to its end."""
    return False


def autocast(recipe: Recipe) -> torch.autocast:
    """Return a context with bfloat16 matrix products, if the recipe asks for them."""
    return mixed(recipe.bfloat16)


def mixed(bfloat16: bool) -> torch.autocast:
    """Return a context with bfloat16 matrix products, or one without effect.

    Casts are not cached: one made without gradients would be reused in a pass that needs them.
    """
    device = torch.get_default_device().type
    return torch.autocast(device, torch.bfloat16, enabled=bfloat16, cache_enabled=False)


@contextmanager
def frozen(*modules: nn.Module | None) -> Iterator[None]:
    """Disable the gradients of the modules' parameters within a `with` block."""
    parameters = [p for each in modules if each is not None for p in each.parameters()]
    required = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in required:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in required:
            parameter.requires_grad_(True)


def alone(parameters: Sequence[nn.Parameter]) -> None:
    """Do nothing: a single process has the whole batch."""


class StageState:
    """Weights, averaged weights, optimizer moments, step and elapsed seconds of a stage.

    `weights_file` is the file of the trained weights in a saved state, `optimizer_file` that of
    averaged weights and moments. `average` averages gradients over several processes. `judges` are
    the states of networks that the stage's loss trains itself, such as a discriminator, by name:
    they are saved and restored with this one, and take `judge_steps` steps for each of its own.
    """

    def __init__(
        self,
        module: nn.Module,
        options: Optimization,
        *,
        weights_file: str = WEIGHTS,
        optimizer_file: str = OPTIMIZER,
        average: Callable[[Sequence[nn.Parameter]], None] = alone,
        judges: Mapping[str, StageState] | None = None,
        judge_steps: int = 1,
    ) -> None:
        self.module, self.options = module, options
        self.judges, self.judge_steps = dict(judges or {}), judge_steps
        self.weights_file, self.optimizer_file = weights_file, optimizer_file
        self.average = average
        self.parameters = {k: p for k, p in module.named_parameters() if p.requires_grad}
        self.optimizer = options.optimizer(self.parameters.values())
        self.averaged = {k: p.detach().clone() for k, p in self.parameters.items()}
        self.step, self.elapsed_s = 0, 0.0

    def ended(self) -> bool:
        """Return whether all steps, or all seconds, are used."""
        return self.step >= self.options.steps or self.elapsed_s >= self.options.budget_s

    def add(self, loss: Tensor) -> None:
        """Accumulate a loss's gradients."""
        loss.backward()  # type: ignore[no-untyped-call]

    def update(self, loss: Tensor) -> float:
        """Accumulate a step's last loss, take the optimizer step, return the gradient's norm."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.options, self.step, self.elapsed_s)
        self.add(loss)
        self.average([*self.parameters.values()])
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), self.options.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        decay = averaging(self.options, self.step)
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                self.averaged[name].lerp_(parameter, 1.0 - decay)
        return float(norm)

    def files(self) -> dict[str, dict[str, Tensor]]:
        """Return the tensors of a saved state: safetensors files by name, tensors by name."""
        moments: dict[str, Tensor] = {f"averaged.{k}": p for k, p in self.averaged.items()}
        for name, parameter in self.parameters.items():
            for kind, value in self.optimizer.state.get(parameter, {}).items():
                moments[f"optimizer.{name}.{kind}"] = value
        files: dict[str, dict[str, Tensor]] = {
            self.weights_file: {**self.parameters},
            self.optimizer_file: moments,
        }
        for judge in self.judges.values():
            files |= judge.files()
        return files

    def save(self, folder: Path, facts: Mapping[str, Any]) -> None:
        """Write `step=N` into the folder of saved states."""
        write_state(folder, self.step, self.files(), {"elapsed_s": self.elapsed_s, **facts})

    def load(self, state: Path, numbers: Mapping[str, Any]) -> None:
        """Restore a saved state from the result of `latest`."""
        files = (self.weights_file, self.optimizer_file)
        weights, moments = (read_tensors(state / name) for name in files)
        wanted = {k: p.shape for k, p in self.parameters.items()}
        differ = {k for k in wanted.keys() | weights.keys()
                  if k not in weights or wanted.get(k) != weights[k].shape}  # fmt: skip
        if differ:
            raise BuildError(
                f"expected the {len(wanted)} trained tensors of this recipe, got {state} with "
                f"{len(differ)} that differ ({', '.join(sorted(differ)[:3])}): restore the recipe "
                "that it was saved with, or start a new run"
            )
        self.step, self.elapsed_s = numbers["step"], numbers["elapsed_s"]
        self.put(weights)
        for name, parameter in self.parameters.items():
            self.averaged[name].copy_(moments[f"averaged.{name}"])
            prefix = f"optimizer.{name}."
            entries = {
                k.removeprefix(prefix): v.to(parameter.device, copy=True)
                for k, v in moments.items()
                if k.startswith(prefix)
            }
            if entries:
                self.optimizer.state[parameter] = entries
        for judge in self.judges.values():
            judge.load(state, {**numbers, "step": self.judge_steps * self.step})

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


def judge_state(name: str, module: nn.Module, options: Optimization) -> StageState:
    """Return the state of a judge, whose files in a saved state begin with its name."""
    weights, optimizer = (f"{name}.{file}" for file in (WEIGHTS, OPTIMIZER))
    return StageState(module, options, weights_file=weights, optimizer_file=optimizer)


def differences(saved: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, str]:
    """Return the changed keys, each as `old -> new`."""
    keys = sorted(k for k in {*saved, *wanted} if saved.get(k) != wanted.get(k))
    return {k: f"{saved.get(k)!r:.200} -> {wanted.get(k)!r:.200}" for k in keys}


def check_fingerprint(
    saved: Mapping[str, Any],
    wanted: Mapping[str, Any],
    folder: Path,
    accepted: Collection[str] = (),
) -> None:
    """Raise ConfigError if a stage would be resumed under other conditions.

    Keys in `accepted` may have changed.
    """
    changed = differences(saved, wanted)
    for key in sorted(changed.keys() & {*accepted}):
        logger.warning("%s: goes on with %s %s", folder, key, changed.pop(key))
    if changed:
        shown = "; ".join(f"{key} {text}" for key, text in changed.items())
        raise ConfigError(
            f"expected the conditions that {folder} was trained under, got {len(changed)} "
            f"changed ({shown}): restore them, start a new run, or go on with "
            f"{' '.join(f'--accept-change {key}' for key in changed)}"
        )


def write_entry(folder: Path, entry: Mapping[str, Any]) -> None:
    """Append an entry to a run's metrics.jsonl, and log it."""
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n")
    logger.info("%s", entry)


def run_stage(
    stage: Stage,
    state: StageState,
    folder: Path,
    *,
    facts: Callable[[], Mapping[str, Any]],
    save: Interval,
    validate: Interval,
    log: Callable[[dict[str, Any]], None],
    log_steps: int = 20,
    writes: bool = True,
    refresh: Callable[[], None] = lambda: None,
    stop: Callable[[], bool] = never,
) -> bool:
    """Train a stage to its end, resuming from its saved state; return False if `stop` ended it.

    `facts` returns what is stored with a saved state; `refresh` is called after every validation;
    a process with `writes` False neither saves nor logs nor validates. `stop` is
    called once a step. At the end the module holds the averaged weights.
    """
    found = latest(folder)
    if found is not None:
        state.load(*found)
        logger.info("%s: resumed at step %d", stage.name, state.step)
    finished = state.ended()
    if finished:
        state.put(state.averaged)
    saved_at = validated_at = last = time.monotonic()
    while not finished:
        norm, figures = one_step(stage, state)
        now = time.monotonic()
        state.elapsed_s += now - last
        last = now
        finished = state.ended()
        if writes and (state.step % log_steps == 0 or finished):
            shown = {k: round(float(v), 5) for k, v in figures.items()}
            log({"stage": stage.name, "step": state.step, "s": round(state.elapsed_s, 1),
                 **shown, "grad": round(norm, 4)})  # fmt: skip
        stopping = stop()
        if writes and (finished or stopping or save.due(state.step, now - saved_at)):
            state.save(folder, {**facts(), "finished": finished})
            saved_at = now
        if stopping and not finished:
            return False
        if finished or validate.due(state.step, now - validated_at):
            trained = state.use_averaged()
            if writes:
                log({"stage": stage.name, "step": state.step, "validation": stage.validate()})
            if not finished:
                state.put(trained)
                refresh()
            validated_at = last = time.monotonic()  # validating does not count as training
    return True


def one_step(stage: Stage, state: StageState) -> tuple[float, dict[str, Tensor]]:
    """Take one optimizer step; return the gradient's norm and the batches' mean figures."""
    count = state.options.accumulate
    seen: list[dict[str, Tensor]] = []
    for batch in range(count):
        parts = stage.loss(state.step * count + batch)
        seen.append({name: value.detach() for name, value in parts.items()})
        share = parts["loss"] / count if count > 1 else parts["loss"]
        if batch + 1 < count:
            state.add(share)
    norm = state.update(share)
    names = dict.fromkeys(name for figures in seen for name in figures)
    means = {n: torch.stack([f[n] for f in seen if n in f]).mean() for n in names}
    return norm, means
