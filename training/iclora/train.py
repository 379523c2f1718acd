"""A training run of an IC-LoRA in its folder, which can be resumed.

```
RUN/config.toml env.json metrics.jsonl samples/step=N/*.png adapter.safetensors facts.json
RUN/ckpt/step=N/{adapter.safetensors, optimizer.safetensors, state.json, MANIFEST.sha256} LATEST
```
RUN/adapter.safetensors holds the averaged weights of the last validation, or of the end.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import platform
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from realmaster_live.errors import PairError
from realmaster_live.model.lora import Adapter, attach
from realmaster_live.model.lora_facts import LoraFacts
from realmaster_live.model.lora_files import save
from realmaster_live.model.profile import Profile
from realmaster_live.optional import require
from realmaster_live.system.contents import sha256_of
from realmaster_live.training.checkpoints import latest
from realmaster_live.training.iclora.base import check_latents_of, load_base, prepare, profile_of
from realmaster_live.training.iclora.batches import Batches, LatentPairs
from realmaster_live.training.iclora.processes import Processes
from realmaster_live.training.iclora.recipe import IcLoraRecipe, fingerprint
from realmaster_live.training.iclora.samples import Preview
from realmaster_live.training.iclora.stage import IcLoraStage
from realmaster_live.training.loop import (
    Interval,
    StageState,
    check_fingerprint,
    never,
    run_stage,
    write_entry,
)
from realmaster_live.training.recipe_tables import to_toml
from realmaster_live.training.recompute import recompute

logger = logging.getLogger(__name__)

ADAPTER = "adapter.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The data of a run.

    Attributes:
        training: clips to train on.
        validation: validation clips, or None.
        sha256: hash of all data, for the fingerprint.
        empty_text: (M, channels) embedding of the empty prompt; None without a text encoder.
        autoencoder_sha256: of the file whose autoencoder made the latents; "" if unknown.
    """

    training: LatentPairs
    validation: LatentPairs | None
    sha256: str
    empty_text: Tensor | None = None
    autoencoder_sha256: str = ""


def check_texts(data: Data, profile: Profile, empty_for: Sequence[str]) -> None:
    """Raise PairError where a model takes embeddings of prompts that the data do not have.

    `empty_for` lists the settings, as they would be without it, that need the empty prompt's.
    """
    if profile.prompts or not profile.text_width:
        return
    if data.training.shapes and data.training.read(0).text is None:
        raise PairError(
            f"expected embeddings of the prompts for {profile.name}, got clips without: encode and "
            "pack them again with text_encoder in [encode]"
        )
    if data.empty_text is None and empty_for:
        raise PairError(
            "expected the embedding of the empty prompt beside the clips', got none: run "
            f"realmaster pairs encode and pack again, or set {' and '.join(empty_for)}"
        )


class IcLoraRun:
    """A training run in its folder."""

    def __init__(
        self,
        recipe: IcLoraRecipe,
        data: Data,
        out: Path,
        *,
        accepted: Collection[str] = (),
        stop: Callable[[], bool] = never,
    ) -> None:
        """Load the base model.

        `accepted` names conditions in which a resumed run may differ. Where `stop` returns true,
        the run saves and ends within a step.
        """
        self.recipe, self.data, self.out = recipe, data, out
        self.accepted, self.stop = accepted, stop
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        self.processes = Processes()
        device = torch.get_default_device()
        if device.type == "cuda" and self.processes.share[1] > 1:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.set_default_device(device)
        check_texts(data, profile_of(recipe.base), self.settings_with_empty_text())
        self.base = load_base(recipe.base)
        check_latents_of(self.base, data.autoencoder_sha256)
        prepare(self.base, weights=recipe.memory.weights, device=device)
        recompute(self.base.transformer, "blocks" if recipe.memory.checkpointing else "nothing")
        self.adapter = self.attach()
        self.log_to_tensorboard: Any = None
        if recipe.tensorboard and self.processes.first:
            tensorboard = require("torch.utils.tensorboard", extra="tensorboard")
            self.log_to_tensorboard = tensorboard.SummaryWriter(out / "tensorboard")

    def settings_with_empty_text(self) -> list[str]:
        """Return the settings that need the empty prompt, as they would be without it."""
        validation = self.recipe.validation
        looks = self.data.validation is not None and validation.clips
        settings = ["caption_dropout = 0"] if self.recipe.conditions.caption_dropout else []
        guided = looks and validation.guidance != 1.0
        return [*settings, "guidance = 1 in [validation]"] if guided else settings

    def attach(self) -> Adapter:
        """Return a new adapter, with the same initial weights on every device."""
        options = self.recipe.adapter
        return attach(
            self.base.transformer,
            rank=options.rank,
            alpha=options.alpha,
            targets=options.targets,
            generator=torch.Generator("cpu").manual_seed(self.recipe.seed),
        )

    def train(self) -> bool:
        """Train to the end; return False if a signal ended it."""
        try:
            return self._train()
        finally:
            if self.log_to_tensorboard is not None:
                self.log_to_tensorboard.close()
            self.processes.close()

    def _train(self) -> bool:
        recipe, saved_in = self.recipe, self.out / "ckpt"
        wanted = fingerprint(recipe, data_sha256=self.data.sha256, base_sha256=self.base.sha256)
        found = latest(saved_in)
        if found is not None:
            check_fingerprint(found[1]["fingerprint"], wanted, saved_in, self.accepted)
        stage = self.stage()
        state = StageState(
            stage.module, recipe.optimizer, weights_file=ADAPTER, average=self.processes.average
        )
        if self.processes.first:
            self.describe()
        if self.data.validation is not None and recipe.validation.clips:
            options = recipe.validation
            preview = Preview(
                self.base,
                stage,
                self.data.validation,
                clips=options.clips,
                chunks=options.chunks,
                steps=options.steps,
                seed=options.seed,
                guidance=options.guidance,
            )
            stage.preview = lambda: self.validate(preview, state.step)
        self.processes.wait()
        finished = run_stage(
            stage,
            state,
            saved_in,
            facts=lambda: {"fingerprint": wanted, "processes": self.processes.share[1]},
            save=Interval(steps=recipe.save_steps),
            validate=Interval(steps=recipe.validation.every),
            log=lambda entry: self.log({**entry, **self.bins(stage, entry)}),
            log_steps=recipe.log_steps,
            writes=self.processes.first,
            stop=lambda: self.processes.any(self.stop()),
        )
        if finished and self.processes.first:
            self.write_adapter()
            self.write_facts(state)
        self.processes.wait()
        return finished

    def stage(self) -> IcLoraStage:
        """Return the stage over this process's share of the batches."""
        recipe, profile = self.recipe, self.base.profile
        batches = Batches(
            self.data.training,
            profile,
            seed=recipe.seed,
            batch=recipe.batch,
            chunks=recipe.conditions.chunks_for(profile),
            sink_elsewhere=recipe.conditions.sink_elsewhere,
            share=self.processes.share,
        )
        return IcLoraStage(
            self.base.transformer,
            batches,
            conditions=recipe.conditions,
            timesteps=recipe.timesteps,
            span=self.base.span,
            empty_text=self.data.empty_text,
            bfloat16=recipe.memory.bfloat16,
        )

    def validate(self, preview: Preview, step: int) -> dict[str, Any]:
        """Write the adapter with the averaged weights, and return its metrics."""
        self.write_adapter()
        return preview(self.out / "samples" / f"step={step}")

    @staticmethod
    def bins(stage: IcLoraStage, entry: dict[str, Any]) -> dict[str, Any]:
        """Return the losses by noise level since the last entry that held a loss."""
        return {"loss_by_t": stage.bins.take()} if "loss" in entry else {}

    def log(self, entry: dict[str, Any]) -> None:
        """Append an entry to metrics.jsonl, and to TensorBoard if enabled."""
        write_entry(self.out, entry)
        if self.log_to_tensorboard is not None:
            for name, value in flat(entry).items():
                self.log_to_tensorboard.add_scalar(name, value, entry.get("step", 0))

    def describe(self) -> None:
        """Write the resolved recipe and a description of the machine."""
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "config.toml").write_text(to_toml(dataclasses.asdict(self.recipe)))
        facts = {"python": platform.python_version(), "torch": torch.__version__,
                 "device": str(torch.get_default_device()), "machine": platform.machine(),
                 "processes": self.processes.share[1]}  # fmt: skip
        (self.out / "env.json").write_text(json.dumps(facts, indent=2) + "\n")

    def write_adapter(self) -> None:
        """Write the adapter's current weights with their metadata."""
        base, options = self.base, self.recipe.adapter
        facts = LoraFacts(
            base_model=base.name,
            base_sha256=base.sha256,
            licence=options.licence,
            trigger=options.trigger,
            expert=base.expert,
        )
        save(self.out / ADAPTER, self.adapter, scheme="diffusers", facts=facts)

    def write_facts(self, state: StageState) -> None:
        """Write the finished adapter's facts and training data."""
        base = self.base
        facts = {
            "base": {"name": base.name, "sha256": base.sha256, "licence": base.licence},
            "data_sha256": self.data.sha256,
            "steps": state.step,
            "seconds": round(state.elapsed_s),
            "recipe_sha256": sha256_of(self.out / "config.toml"),
        }
        (self.out / "facts.json").write_text(json.dumps(facts, indent=2) + "\n")


def flat(entry: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """Return path -> number for a nested entry."""
    numbers: dict[str, float] = {}
    for name, value in entry.items():
        if isinstance(value, dict):
            numbers |= flat(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)) and name != "step":
            numbers[f"{prefix}{name}"] = float(value)
    return numbers
