"""A Wan transformer of diffusers: chunks of three latent frames, velocity, texts, a LoRA."""

import dataclasses
import json

import pytest
import torch
from latent_clips import LatentClip, LatentClips
from tiny_wan import make_wan

from realmaster_live.engines.noise import ChunkNoise
from realmaster_live.errors import ConfigError, PairError
from realmaster_live.model.lora_files import load, read_facts
from realmaster_live.training.distillation.dmd2 import DMD2Config
from realmaster_live.training.distillation.networks import Teacher, open_networks
from realmaster_live.training.distillation.recipe import STUDENT, DistillRecipe
from realmaster_live.training.distillation.self_forcing import moving_noise
from realmaster_live.training.distillation.train import distill
from realmaster_live.training.iclora.base import BaseConfig
from realmaster_live.training.iclora.train import Data
from realmaster_live.training.latents import Rollout


def clips(seeds, frames=7):
    """Seven latent frames are two chunks of three, and one that is left."""
    found = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        reference = torch.randn(4, frames, 4, 6, generator=generator)
        text = torch.randn(3, 16, generator=generator)
        found.append(LatentClip("a street", reference, 0.5 * reference, text))
    return LatentClips(found)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wan") / "transformer"
    make_wan().save_pretrained(folder)
    return Teacher(base=folder, config=BaseConfig(name="tiny wan", licence="Apache-2.0"))


@pytest.fixture
def recipe():
    student = dataclasses.replace(STUDENT, steps=3, learning_rate=1e-3, warm_up=1)
    return DistillRecipe(
        method="self-forcing",
        trains="adapter",
        critic_trains="adapter",
        rank=2,
        threads=1,
        bfloat16=False,
        batch=2,
        chunks=2,
        student=student,
        critic=student,
        discriminator=student,
        dmd2=DMD2Config(critic_steps=2, guidance=1.0, guidance_form="extra", width=8, depth=1),
    )


@pytest.mark.parametrize("method", ["regress", "dmd2", "self-forcing"])
def test_every_method_trains_an_adapter_of_it(method, recipe, teacher, tmp_path):
    recipe = dataclasses.replace(recipe, method=method)
    data = Data(
        training=clips(range(4)), validation=clips([9]), sha256="", empty_text=torch.zeros(3, 16)
    )
    verdict = distill(recipe, data, teacher, tmp_path)
    assert verdict.space == "latents"  # a model of diffusers brings no decoder of ours
    network = teacher.read().transformer
    adapter = load(
        tmp_path / "checkpoint" / "adapter.safetensors", network,
        base_sha256=teacher.lora_facts.base_sha256,
    )  # fmt: skip
    ups = [each.up for each in adapter.low_ranks.values()]
    assert all(up.isfinite().all() for up in ups) and any(up.abs().max() > 0 for up in ups)


def test_a_flow_that_starts_at_the_render_is_distilled_to_one_step(recipe, teacher, tmp_path):
    config = BaseConfig(profile="wan-5b-704-one-step", name="tiny one-step", licence="Apache-2.0")
    teacher = dataclasses.replace(teacher, config=config)
    recipe = dataclasses.replace(recipe, base=config)
    data = Data(
        training=clips(range(4)), validation=clips([9]), sha256="", empty_text=torch.zeros(3, 16)
    )
    distill(recipe, data, teacher, tmp_path)
    network = teacher.read().transformer
    assert (network.profile.flow_from, network.profile.steps) == ("render", 1)
    load(
        tmp_path / "checkpoint" / "adapter.safetensors", network,
        base_sha256=teacher.lora_facts.base_sha256,
    )  # fmt: skip
    reference = torch.randn(1, 4, 3, 4, 6)
    noises = torch.randn(2, *reference.shape)
    one, other = (
        Rollout(network, [1.0, 0.0]).chunk(reference, noise, network.prompt(torch.zeros(1, 3, 16)))
        for noise in noises
    )
    assert torch.equal(one[0], other[0]), "noise has no say"
    assert (one[0] - reference).abs().max() > 0


def test_guidance_needs_the_empty_prompt(recipe, teacher, tmp_path):
    data = Data(training=clips(range(4)), validation=clips([9]), sha256="")
    with pytest.raises(PairError, match="expected the embedding of the empty prompt"):
        distill(recipe, data, teacher, tmp_path)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """Two experts of random weights in a pipeline's folder, the second another than the first."""
    folder = tmp_path_factory.mktemp("a14b")
    for name, scale in (("transformer", 1.0), ("transformer_2", 0.5)):
        wan = make_wan()
        with torch.no_grad():
            for parameter in wan.parameters():
                parameter.mul_(scale)
        wan.save_pretrained(folder / name)
    return folder


def test_two_experts_are_distilled_together_and_hand_on_an_adapter_each(recipe, pipeline, tmp_path):
    config = BaseConfig(profile="wan-a14b", name="tiny a14b", licence="Apache-2.0")
    teacher = Teacher.parse(str(pipeline), config)
    recipe = dataclasses.replace(recipe, student_steps=4, teacher_steps=6, base=config)
    data = Data(
        training=clips(range(4)), validation=clips([9]), sha256="", empty_text=torch.zeros(3, 16)
    )
    assert distill(recipe, data, teacher, tmp_path) is not None
    folder = tmp_path / "checkpoint"
    made = [folder / f"adapter_{name}.safetensors" for name in ("high_noise", "low_noise")]
    assert [read_facts(path).expert for path in made] == ["high_noise", "low_noise"]
    for path, base in zip(made, teacher.read_experts(), strict=True):
        adapter = load(path, base.transformer, base_sha256=base.sha256)
        assert any(each.up.abs().max() > 0 for each in adapter.low_ranks.values())
    facts = json.loads((folder / "facts.json").read_text())["distilled"]
    assert facts["teacher"]["figures"].keys() == facts["undistilled"]["figures"].keys()
    again = Teacher.parse("+".join(map(str, (pipeline, *made))), config)
    assert again.adapters(2) == (*made,)
    with pytest.raises(ConfigError, match="expected a LoRA file for each expert"):
        Teacher.parse(f"{pipeline}+{made[0]}", config).adapters(2)


def test_networks_over_one_base_share_its_weights(recipe, teacher):
    networks = open_networks(teacher, teacher, recipe)
    stored = [
        {name: p.data_ptr() for name, p in each.named_parameters() if "low_rank" not in name}
        for each in (networks.student, networks.critic, networks.teacher)
    ]
    assert stored[0] == stored[1] == stored[2]


@pytest.mark.parametrize("shape", [(1, 4, 6, 8), (1, 4, 3, 6, 8)])
def test_noise_moves_as_in_the_engines(shape):
    engine = ChunkNoise(shape, seed=3)
    drawn = [torch.from_numpy(engine.take().copy()) for _ in range(3)]
    assert torch.equal(moving_noise(drawn[0], 3), torch.stack(drawn))
