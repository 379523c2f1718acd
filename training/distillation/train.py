"""Distils a teacher into a student of few steps, and keeps the best student by the gates.

A run is resumed from its folder:
```
RUN/undistilled.json teacher.json metrics.jsonl
RUN/checkpoint/      the best student: networks or adapter*.safetensors
RUN/ckpt/step=N/{weights, optimizer, critic.*, discriminator.*}.safetensors
```
"""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.model.checkpoint import (
    PROFILE_FILE,
    TRANSFORMER_FILES,
    save_checkpoint,
    write_tensors,
)
from realmaster_live.model.lora_files import save as save_lora
from realmaster_live.model.profile import Profile
from realmaster_live.model.sampling import sigmas
from realmaster_live.prompts import PROMPTS_FILE
from realmaster_live.system.atomic_files import write_json, write_text
from realmaster_live.training.checkpoints import latest
from realmaster_live.training.distillation.discriminator import LatentDiscriminator
from realmaster_live.training.distillation.dmd2 import Matching
from realmaster_live.training.distillation.gates import Verdict
from realmaster_live.training.distillation.networks import EXPERTS, Teacher, open_networks
from realmaster_live.training.distillation.recipe import (
    DistillRecipe,
    fingerprint,
)
from realmaster_live.training.distillation.stage import DistillStage
from realmaster_live.training.distillation.validation import Validation
from realmaster_live.training.experts import transformers_of
from realmaster_live.training.iclora.base import check_latents_of
from realmaster_live.training.iclora.train import Data, check_texts
from realmaster_live.training.loop import Interval, check_fingerprint, never, run_stage, write_entry
from realmaster_live.training.recipe import recipe_hash
from realmaster_live.training.session import machine

logger = logging.getLogger(__name__)

ADAPTER_FILE = "adapter.safetensors"
ADAPTER_FILES = tuple(f"adapter_{expert}.safetensors" for expert in EXPERTS)  # of two experts


class Run:
    """A distillation in its folder.

    Attributes:
        stage: the training stage.
        best: the verdict on RUN/checkpoint; None before the first validation.
    """

    def __init__(
        self,
        recipe: DistillRecipe,
        data: Data,
        teacher: Teacher,
        out: Path,
        start: Teacher | None = None,
        accepted: Collection[str] = (),
        stop: Callable[[], bool] = never,
    ) -> None:
        """Open the networks on torch's default device.

        Where `stop` returns true, the run saves and ends within a step.
        """
        self.recipe, self.teacher, self.out, self.accepted = recipe, teacher, out, accepted
        self.start, self.stop = start or teacher, stop
        out.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        empty_for = (
            ["guidance to none in [dmd2]"] if recipe.matches and recipe.dmd2.uses_guidance else []
        )
        check_texts(data, teacher.profile, empty_for)
        networks = open_networks(teacher, self.start, recipe)
        student, self.adapters = networks.student, networks.adapters
        check_latents_of(networks.bases[0], data.autoencoder_sha256)
        self.autoencoder = networks.bases[0].autoencoder
        check_alike(networks.bases[0].profile, student.profile)
        profile = student.profile
        if recipe.student_steps:
            profile = dataclasses.replace(profile, steps=recipe.student_steps)
            for each in (student, *transformers_of(student)):
                each.profile = profile
        discriminator = None
        if recipe.discriminates:
            discriminator = LatentDiscriminator(
                profile.latent_channels, width=recipe.dmd2.width, depth=recipe.dmd2.depth
            )
        matching = Matching(
            recipe.dmd2,
            profile=profile,
            teacher=networks.teacher,
            critic=networks.critic,
            discriminator=discriminator,
            empty_text=data.empty_text,
        )
        self.stage = DistillStage(recipe, student, matching, data.training, self.validate)
        if data.validation is None:
            raise PairError(
                "expected clips to judge a student on, got none: give some clips to the split val"
            )
        self.data_sha256 = data.sha256
        self.validation = Validation(
            data.validation,
            self.autoencoder,
            recipe.gates,
            self.stage.levels,
            bfloat16=recipe.bfloat16,
        )
        self.checkpoint = out / "checkpoint"
        self.best: Verdict | None = None

    def log(self, entry: dict[str, Any]) -> None:
        """Append a line to metrics.jsonl."""
        write_entry(self.out, entry)

    def validate(self) -> dict[str, Any]:
        """Judge the student; write it to RUN/checkpoint if it is the best so far."""
        verdict = self.validation.verdict(self.stage.module)
        if verdict.failed:
            logger.warning("step %d: %s", self.stage.state.step, verdict.line())
        if verdict.better_than(self.best):
            self.best = verdict
            self.write_checkpoint(verdict)
        return verdict.as_dict()

    def write_checkpoint(self, verdict: Verdict) -> None:
        """Write RUN/checkpoint: the networks or the adapter, with their facts and verdict."""
        folder = self.checkpoint
        folder.mkdir(parents=True, exist_ok=True)
        lora = self.start.lora_facts
        files = ADAPTER_FILES if len(self.adapters) > 1 else (ADAPTER_FILE,)
        for name, adapter, lora_facts in zip(
            files, self.adapters, self.start.expert_lora_facts, strict=False
        ):
            save_lora(folder / name, adapter, scheme="diffusers", facts=lora_facts)
        if not self.adapters:
            self.write_networks(folder)
            prompts = self.start.base / PROMPTS_FILE
            if prompts.exists():
                shutil.copyfile(prompts, folder / PROMPTS_FILE)
        facts = {
            **self.start.facts(),
            "base_model": lora.base_model,
            "base_sha256": lora.base_sha256,
            "licence": lora.licence,
            "distilled": {
                "method": self.recipe.method,
                "step": self.stage.state.step,
                "steps": len(self.stage.levels) - 1,
                "recipe": recipe_hash(self.recipe),
                **self.origins(),
                "machine": machine(self.recipe.threads),
                "gates": verdict.as_dict(),
                "undistilled": self.undistilled(),
                "teacher": self.judge_teacher(),
            },
        }
        write_json(folder / "facts.json", facts)

    def write_networks(self, folder: Path) -> None:
        """Write the student as a checkpoint; a diffusers model has no autoencoder to write."""
        student = self.stage.module
        transformers = transformers_of(student)
        if self.autoencoder is not None:
            save_checkpoint(folder, self.autoencoder, *transformers)
            return
        for name, each in zip(TRANSFORMER_FILES, transformers, strict=False):
            write_tensors(folder / name, each.state_dict())
        profile = json.dumps(student.profile.as_dict(), indent=2) + "\n"
        write_text(folder / PROFILE_FILE, profile)

    def origins(self) -> dict[str, str]:
        """Return the hashes of the teacher's and the student's initial weights."""
        return {**self.teacher.identity("teacher"), **self.start.identity("start")}

    def undistilled(self) -> dict[str, Any]:
        """Return the verdict on the untrained student, in its few steps."""
        path = self.out / "undistilled.json"
        if not path.exists():
            verdict = self.validation.verdict(self.stage.module).as_dict()
            write_json(path, verdict)
            self.log({"stage": "undistilled", "step": 0, "validation": verdict})
        stored: dict[str, Any] = json.loads(path.read_text())
        return stored

    def judge_teacher(self) -> dict[str, Any] | None:
        """Return the verdict on the teacher in its many steps; None without `teacher_steps`."""
        teacher, steps = self.stage.matching.teacher, self.recipe.teacher_steps
        if teacher is None or not steps:
            return None
        path = self.out / "teacher.json"
        if not path.exists():
            verdict = self.validation.verdict(teacher, sigmas(steps, teacher.profile.shift))
            write_json(path, verdict.as_dict())
            self.log({"stage": "teacher", "step": 0, "validation": verdict.as_dict()})
        stored: dict[str, Any] = json.loads(path.read_text())
        return stored

    def train(self) -> bool:
        """Train to the end; return False if a signal ended it."""
        conditions = fingerprint(self.recipe) | self.origins() | {"data": self.data_sha256}
        folder = self.out / "ckpt"
        found = latest(folder)
        if found is not None:
            check_fingerprint(found[1]["conditions"], conditions, folder, self.accepted)
            self.best = known_verdict(self.checkpoint, self.recipe)
        self.undistilled()
        self.judge_teacher()
        return run_stage(
            self.stage,
            self.stage.state,
            folder,
            facts=lambda: {"conditions": conditions},
            save=Interval(steps=self.recipe.save_steps, seconds=self.recipe.save_s),
            validate=Interval(steps=self.recipe.validate_steps, seconds=self.recipe.validate_s),
            log=self.log,
            stop=self.stop,
        )


def check_alike(teacher: Profile, student: Profile) -> None:
    """Raise ConfigError if student and teacher are not comparable."""
    one, other = (dataclasses.replace(each, name="", steps=1) for each in (teacher, student))
    if one != other:
        raise ConfigError(
            f"expected a student of the teacher's sizes, got {student.name} for {teacher.name}: "
            "start from the teacher, or from a student of it"
        )


def known_verdict(checkpoint: Path, recipe: DistillRecipe) -> Verdict | None:
    """Return the stored verdict on a checkpoint, under the recipe's limits."""
    path = checkpoint / "facts.json"
    if not path.exists():
        return None
    stored = json.loads(path.read_text())["distilled"]["gates"]
    return Verdict(figures=stored["figures"], limits=recipe.gates.limits(), space=stored["space"])


def distill(
    recipe: DistillRecipe,
    data: Data,
    teacher: Teacher,
    out: Path | str,
    *,
    start: Teacher | None = None,
    accepted: Collection[str] = (),
    stop: Callable[[], bool] = never,
) -> Verdict | None:
    """Start or resume a distillation in `out`; return the verdict on its checkpoint.

    The student is initialized from `start`, by default from the teacher; the critic is initialized
    from the teacher. Where `stop` returns true, the run saves and ends within a step, and None is
    returned.

    Raises:
        ConfigError: a state was saved under other conditions, except for keys in `accepted`.
    """
    run = Run(recipe, data, teacher, Path(out), start, accepted, stop)
    if not run.train():
        return None
    if run.best is None:  # the checkpoint of a finished run was removed
        run.validate()
    return run.best
