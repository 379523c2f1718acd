"""One distillation step: several steps of critic and discriminator, then one of the student.

Steps are optimizer steps, so the ratio does not depend on gradient accumulation. All randomness of
a batch is a function of the seed and the batch's number.

Legend: n chunks, B samples. A batch's latents are (n, B, ...).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realmaster_live.model.sampling import sigmas
from realmaster_live.training.data import step_rng, torch_rng
from realmaster_live.training.distillation.dmd2 import Matching
from realmaster_live.training.distillation.recipe import DistillRecipe
from realmaster_live.training.distillation.regress import (
    consistency_term,
    paired_terms,
    teacher_forced,
)
from realmaster_live.training.distillation.self_forcing import (
    draw_steps,
    moving_noise,
    roll_out_with_gradients,
)
from realmaster_live.training.distillation.views import prompt_kv
from realmaster_live.training.experts import Network
from realmaster_live.training.iclora.batches import Batches, LatentBatch, LatentPairs
from realmaster_live.training.loop import StageState, frozen, judge_state, mixed

STUDENT, JUDGES = 31, 32  # ids of independent random streams


class DistillStage:
    """Trains a student by any of the methods; see `DistillRecipe.method`."""

    def __init__(
        self,
        recipe: DistillRecipe,
        student: Network,
        matching: Matching,
        pairs: LatentPairs,
        validate: Callable[[], dict[str, Any]],
    ) -> None:
        self.recipe, self.module, self.matching = recipe, student, matching
        self.name: str = recipe.method
        profile = student.profile
        self.levels = sigmas(recipe.student_steps or profile.steps, profile.shift)
        self.batches, self.judged = (
            Batches(
                pairs,
                profile,
                seed=seed,
                batch=recipe.batch,
                chunks=recipe.chunks,
                sink_elsewhere=recipe.sink_elsewhere,
            )
            for seed in (2 * recipe.seed, 2 * recipe.seed + 1)
        )
        judges = {"critic": matching.critic, "discriminator": matching.discriminator}
        self.state = StageState(
            student,
            recipe.student,
            judges={
                name: judge_state(name, module, getattr(recipe, name))
                for name, module in judges.items()
                if module is not None
            },
            judge_steps=recipe.dmd2.critic_steps,
        )
        self._validate = validate

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the student's loss on a batch, after the steps of critic and discriminator."""
        figures: dict[str, Tensor] = {}
        count = self.recipe.student.accumulate
        if step % count == 0:
            for index in range(self.state.judge_steps if self.state.judges else 0):
                figures = self.train_judges(step // count * self.state.judge_steps + index)
        terms, figures_of_batch = self.student_terms(step)
        return {
            "loss": torch.stack([*terms.values()]).sum(),
            **terms,
            **figures_of_batch,
            **figures,
        }

    def student_terms(self, step: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the student's losses on a batch, and figures to log."""
        rng = step_rng(self.recipe.seed, step, STUDENT)
        batch = self.batches.draw(step)
        judges = (self.matching.critic, self.matching.discriminator)
        with mixed(self.recipe.bfloat16), frozen(*judges):
            samples, terms = self.make(batch, rng)
            terms |= paired_terms(samples, batch.target, self.recipe.regress)
            if self.recipe.method != "regress":
                terms |= self.matching.student_terms(samples, batch, torch_rng(rng))
        with torch.no_grad():
            return terms, {"mse": (samples - batch.target).square().mean()}

    def make(
        self, batch: LatentBatch, rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return samples (n, B, ...) with gradients, and the method's own losses."""
        recipe, student = self.recipe, self.module
        if recipe.method == "self-forcing":
            first = torch.randn(batch.target.shape[1:], generator=torch_rng(rng))
            noise = moving_noise(first, recipe.chunks)
            steps = draw_steps(
                rng, chunks=recipe.chunks, steps=len(self.levels) - 1, same=recipe.same_step
            )
            prompt = prompt_kv(student, batch)
            samples, _ = roll_out_with_gradients(
                student, batch.reference, noise, prompt, self.levels, steps
            )
            return samples, {}
        own = True if recipe.method == "dmd2" else None
        predicted = teacher_forced(student, batch, recipe.regress, self.levels, rng, own=own)
        weight = recipe.regress.consistency_weight
        if recipe.method == "dmd2" or not weight:
            return predicted.x0, {}
        assert self.matching.teacher is not None
        term = consistency_term(student, self.matching.teacher, predicted, batch, self.levels)
        return predicted.x0, {"consistency": weight * term}

    def train_judges(self, step: int) -> dict[str, Tensor]:
        """Take one optimizer step of critic and discriminator on the student's samples."""
        count = self.recipe.critic.accumulate
        figures: dict[str, Tensor] = {}
        for part in range(count):
            losses = self.judge_losses(step * count + part)
            for name, loss in losses.items():
                state, share = self.state.judges[name], loss / count
                if part + 1 < count:
                    state.add(share)
                else:
                    state.update(share)
                figures[f"{name}_loss"] = loss.detach()
        return figures

    def judge_losses(self, index: int) -> dict[str, Tensor]:
        """Return the losses of critic and discriminator on a batch."""
        rng = step_rng(self.recipe.seed, index, JUDGES)
        batch = self.judged.draw(index)
        losses = {}
        with mixed(self.recipe.bfloat16):
            with frozen(self.module), torch.no_grad():
                samples = self.make(batch, rng)[0].detach()
            if self.matching.critic is not None:
                losses["critic"] = self.matching.critic_loss(samples, batch, torch_rng(rng))
            if self.matching.discriminator is not None:
                losses["discriminator"] = self.matching.discriminator_loss(
                    samples, batch, torch_rng(rng)
                )
        return losses

    def validate(self) -> dict[str, Any]:
        """Return the gates' verdict on the student's current weights."""
        return self._validate()
