"""Backward chunk by chunk: the whole rollout's gradient, in the memory of one chunk."""

import dataclasses

import pytest
import torch
from latent_clips import LatentClip, LatentClips

from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import WAN_1_3B
from realmaster_live.model.random_weights import fill
from realmaster_live.training.distillation.discriminator import LatentDiscriminator
from realmaster_live.training.distillation.dmd2 import DMD2Config, Matching
from realmaster_live.training.distillation.recipe import DistillRecipe
from realmaster_live.training.distillation.regress import RegressConfig
from realmaster_live.training.distillation.stage import DistillStage
from realmaster_live.training.experts import Experts, transformers_of
from realmaster_live.training.recompute import recompute

PROFILE = dataclasses.replace(
    WAN_1_3B, latent_channels=4, width=32, layers=2, heads=2, hidden=48, text_width=12,
    frequency_width=16, expert_boundary=0.9,
)  # fmt: skip


def clips(count, frames):
    generator = torch.Generator().manual_seed(3)
    made = []
    for _ in range(count):
        reference, target = torch.randn(2, 4, frames, 4, 4, generator=generator)
        made.append(LatentClip("", reference, target, torch.randn(3, 12, generator=generator)))
    return LatentClips(made)


def network(seed, experts=1):
    made = []
    for index in range(experts):
        torch.manual_seed(seed + index)
        transformer = InContextTransformer(dataclasses.replace(PROFILE, experts=experts))
        with torch.no_grad():
            fill(transformer, torch.Generator().manual_seed(seed + index))
        made.append(transformer)
    return made[0] if experts == 1 else Experts(made)


def stage_of(method, what, *, experts=1, chunks=3):
    """A stage with every loss there is, whose networks recompute `what`."""
    torch.manual_seed(1)
    recipe = DistillRecipe(
        method=method, bfloat16=False, batch=2, chunks=chunks, recompute=what,
        regress=RegressConfig(
            weight=0.7, chroma_weight=0.1, variance_weight=0.2, consistency_weight=0.3
        ),
        dmd2=DMD2Config(guidance=2.0, forcing_weight=0.5, gan_weight=0.2, width=8, depth=1),
    )  # fmt: skip
    networks = [network(seed, experts) for seed in (10, 20, 30)]
    for trained in (networks[0], networks[2]):
        for each in transformers_of(trained):
            recompute(each, what)
    matching = Matching(
        recipe.dmd2,
        profile=networks[0].profile,
        teacher=networks[1].requires_grad_(False),
        critic=networks[2],
        discriminator=LatentDiscriminator(4, width=8, depth=1),
        empty_text=torch.zeros(3, 12),
    )
    return DistillStage(recipe, networks[0], matching, clips(4, 3 * chunks), dict)


def gradients(module):
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(
    ("method", "what", "experts"),
    [
        ("self-forcing", "blocks", 1),
        ("self-forcing", "passes", 1),
        ("self-forcing", "passes", 2),
        ("dmd2", "passes", 1),
        ("regress", "passes", 1),
    ],
)
def test_the_gradient_is_that_of_the_whole_rollout(method, what, experts):
    found = []
    for each in ("nothing", what):
        stage = stage_of(method, each, experts=experts)
        loss = stage.loss(1)["loss"]
        loss.backward()
        judges = stage.judge_losses(0)
        torch.stack([*judges.values()]).sum().backward()
        found.append((loss, gradients(stage.module), gradients(stage.matching.critic)))
    (loss, student, critic), (again, other, judged) = found
    assert torch.equal(loss, again)
    assert len(student) > 20 and student.keys() == other.keys() and critic.keys() == judged.keys()
    for name, gradient in (student | {f"critic.{k}": v for k, v in critic.items()}).items():
        got = judged[name.removeprefix("critic.")] if name.startswith("critic.") else other[name]
        torch.testing.assert_close(got, gradient, rtol=1e-4, atol=1e-7, msg=name)
    assert any(gradient.abs().max() > 0 for gradient in student.values())
