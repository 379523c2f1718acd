"""Runs: one network trained on one variant with one seed, cached on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from realmaster_live.errors import ConfigError
from realmaster_live.system.atomic_files import write_json
from realmaster_live.training.loop import mixed
from realmaster_live.training.perception.augment import CROP, draw_batch, source_of
from realmaster_live.training.perception.controls import AUGMENTED, MAPPED
from realmaster_live.training.perception.examples import REAL, SIM, TRUTH, Example
from realmaster_live.training.perception.study import STEPS
from realmaster_live.training.perception.tasks import Task, TestSet, Trainable, mean

logger = logging.getLogger(__name__)

VARIANTS: Mapping[str, tuple[str, ...]] = {
    SIM: (SIM,),
    AUGMENTED: (AUGMENTED,),
    MAPPED: (MAPPED,),
    REAL: (REAL,),
    "mixed": (SIM, REAL),  # half of every batch each
    TRUTH: (TRUTH,),
}
NETWORK = "network.safetensors"
CURVE_STEPS = 25  # number of steps that are averaged for one point of the loss curve


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training options, the same for every variant.

    Attributes:
        steps: number of optimizer steps. batch: crops in a step.
        height, width: size of a crop in pixels.
        learning_rate: AdamW's peak learning rate, after a linear warm-up over `warm_up` steps and
            before a cosine decay to 0.
        bfloat16: whether matrix products run in bfloat16.
    """

    steps: int = STEPS
    batch: int = 8
    height: int = CROP[0]
    width: int = CROP[1]
    learning_rate: float = 3e-3
    warm_up: int = 60
    weight_decay: float = 0.01
    clip: float = 5.0
    bfloat16: bool = True

    def __post_init__(self) -> None:
        if min(self.steps, self.batch) < 1:
            raise ConfigError(
                f"expected steps and batch of at least 1, got {self.steps} and {self.batch}: "
                "raise them"
            )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        warm_up = min(1.0, (step + 1) / self.warm_up)
        return self.learning_rate * warm_up * 0.5 * (1 + math.cos(math.pi * step / self.steps))


@dataclass(frozen=True, kw_only=True)
class Run:
    """The identity of a run: its variant (of VARIANTS), task (of tasks.MEASURES) and seed."""

    variant: str
    task: str
    seed: int

    @property
    def name(self) -> str:
        """The name of its folder."""
        return f"{self.task}-{self.variant}-{self.seed}"


def train(
    task: Trainable,
    examples: Sequence[Example],
    options: Training,
    *,
    variants: Sequence[str],
    seed: int,
) -> tuple[nn.Module, list[float]]:
    """Train a network; return it in evaluation mode, with its loss curve."""
    torch.manual_seed(seed)  # the same initial weights for every variant
    network = task.network().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    curve: list[float] = []
    sums = torch.zeros(())
    for step in range(options.steps):
        for group in optimizer.param_groups:
            group["lr"] = options.rate(step)
        batch = draw_batch(
            examples,
            variants,
            seed=seed,
            step=step,
            batch=options.batch,
            crop=(options.height, options.width),
        )
        with mixed(options.bfloat16):
            loss = task.loss(network, batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), options.clip)
        optimizer.step()
        sums += loss.detach()
        if (step + 1) % CURVE_STEPS == 0 or step + 1 == options.steps:
            curve.append(float(sums) / (step % CURVE_STEPS + 1))
            sums.zero_()
    return network.eval(), curve


def fingerprint(examples: Sequence[Example], variants: Sequence[str]) -> str:
    """Return a hash of the labels and of the pictures that these variants are made of.

    So a network that saw no realized frame is kept when the engine's weights change.
    """
    digest = hashlib.sha256()
    for example in examples:
        digest.update(example.name.encode())
        for variant in variants:
            picture = example.pictures[source_of(variant)]
            digest.update(variant.encode() + picture.tobytes())
        if example.groups is not None:
            digest.update(example.groups.tobytes())
        if example.boxes is not None:
            digest.update(example.boxes.corners.tobytes() + example.boxes.kinds.tobytes())
    return digest.hexdigest()[:16]


def run_or_read(
    run: Run,
    task: Task,
    examples: Sequence[Example],
    tests: Sequence[TestSet],
    options: Training,
    folder: Path,
) -> dict[str, Any]:
    """Return a run's result, read from its folder or computed and stored there.

    A network is trained again if the options, the labels or the pictures of its own variant have
    changed, and tested again if a test set has.
    """
    run_folder = folder / run.name
    path = run_folder / "result.json"
    result: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    key = {
        "options": asdict(options),
        "examples": fingerprint(examples, VARIANTS[run.variant]),
    }
    if result.get("key") == key:
        network = read_network(run, task, folder)
    else:
        started = time.monotonic()
        network, curve = train(
            task, examples, options, variants=VARIANTS[run.variant], seed=run.seed
        )
        result = {
            **asdict(run),
            "key": key,
            "curve": [round(value, 4) for value in curve],
            "trained_s": round(time.monotonic() - started, 1),
            "tests": {},
        }
        run_folder.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        weights = {name: value.contiguous() for name, value in network.state_dict().items()}
        save_file(weights, run_folder / NETWORK)
    for test in tests:
        content = fingerprint(test.examples, [test.variant])
        stored = result["tests"].get(test.name, {})
        if stored.get("examples") != content:
            figures = task.figures(network, test)
            result["tests"][test.name] = {"examples": content, "figures": figures}
            logger.info("%s: %s %.1f", run.name, test.name, mean(figures))
    write_json(path, result)
    return result


def read_network(run: Run, task: Task, folder: Path) -> nn.Module:
    """Return the network of a finished run."""
    network = task.network()
    network.load_state_dict(load_file(folder / run.name / NETWORK))
    return network.eval()
