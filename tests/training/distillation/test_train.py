"""Runs in their folder: resumed bit for bit, refused, judged, handed on as weights or adapter."""

import dataclasses
import itertools
import json
import tomllib
from importlib.resources import files

import pytest
import torch
from latent_clips import LatentClips, write_base, write_shards
from safetensors.torch import load_file

from realmaster_live.cli import main
from realmaster_live.errors import ConfigError
from realmaster_live.model.checkpoint import load_checkpoint, save_checkpoint
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.lora import attach
from realmaster_live.model.lora_facts import LoraFacts
from realmaster_live.model.lora_files import load, read_facts, save
from realmaster_live.model.vae import StreamingAutoencoder
from realmaster_live.training.checkpoints import latest
from realmaster_live.training.distillation.dmd2 import DMD2Config
from realmaster_live.training.distillation.gates import GatesConfig
from realmaster_live.training.distillation.networks import Teacher
from realmaster_live.training.distillation.recipe import STUDENT, DistillRecipe, parse_recipe
from realmaster_live.training.distillation.regress import RegressConfig
from realmaster_live.training.distillation.train import Run, distill
from realmaster_live.training.iclora.base import BaseConfig
from realmaster_live.training.loop import StageState

OPTIONS = {"warm_up": 2, "learning_rate": 1e-3, "ema": 0.9, "ema_from": 2}


@pytest.fixture(scope="module")
def base(tmp_path_factory, profile):
    return write_base(tmp_path_factory.mktemp("base"), profile, seed=4)


@pytest.fixture(scope="module")
def shards(tmp_path_factory, textured):
    splits = {"train": range(4), "val": range(900, 902)}
    clips = {
        name: LatentClips([textured(seed) for seed in seeds]) for name, seeds in splits.items()
    }
    return write_shards(tmp_path_factory.mktemp("data") / "shards", clips)


@pytest.fixture
def recipe():
    """Everything at once: rollouts, paired terms, critic and discriminator, accumulation."""
    student = dataclasses.replace(STUDENT, steps=6, accumulate=2, **OPTIONS)
    judge = dataclasses.replace(STUDENT, **OPTIONS)
    return DistillRecipe(
        method="self-forcing",
        threads=1,
        bfloat16=False,
        batch=2,
        chunks=2,
        student=student,
        critic=judge,
        discriminator=judge,
        regress=RegressConfig(chroma_weight=0.1, variance_weight=0.1),
        dmd2=DMD2Config(
            critic_steps=2, guidance=2.0, forcing_weight=0.5, r1_weight=0.1, width=8, depth=1
        ),
        gates=GatesConfig(clips=2),
    )


def stopping_after(steps):
    """Stop a run as a signal would, once its student has taken so many steps in this process."""
    asked = itertools.count(1)
    return lambda: next(asked) >= steps


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dmd2", "self-forcing"])
def test_a_parted_run_equals_a_straight_one_bit_for_bit(
    method, recipe, base, data_of, textured, tmp_path
):
    recipe = dataclasses.replace(recipe, method=method)
    data, teacher = data_of(textured), Teacher(base=base)
    assert distill(recipe, data, teacher, tmp_path / "straight") is not None
    stops = 0
    while distill(recipe, data, teacher, tmp_path / "parted", stop=stopping_after(2)) is None:
        stops += 1
    assert stops == 2
    one, other = (latest(tmp_path / name / "ckpt")[0] for name in ("straight", "parted"))
    files = sorted(path.name for path in one.glob("*.safetensors"))
    assert [name for name in files if name.startswith("critic.")]
    assert [name for name in files if name.startswith("discriminator.")]
    for name in files:
        left, right = load_file(one / name), load_file(other / name)
        assert left.keys() == right.keys()
        for key, tensor in left.items():
            assert torch.equal(tensor, right[key]), (name, key)
    handed = [tmp_path / name / "checkpoint" / "transformer.safetensors" for name in
              ("straight", "parted")]  # fmt: skip
    assert handed[0].read_bytes() == handed[1].read_bytes()


@pytest.mark.slow
def test_judges_step_in_their_ratio_however_many_batches_a_step_takes(
    recipe, base, data_of, textured, tmp_path, monkeypatch
):
    steps = []
    update = StageState.update

    def counted(state, loss):
        steps.append(len(state.parameters))
        return update(state, loss)

    monkeypatch.setattr(StageState, "update", counted)
    judge = dataclasses.replace(recipe.critic, accumulate=3)
    recipe = dataclasses.replace(recipe, critic=judge, discriminator=judge)
    distill(recipe, data_of(textured), Teacher(base=base), tmp_path)
    # critic, discriminator, critic, discriminator, student; the first and last of one size
    assert len(steps) == 6 * (2 + 2 + 1)
    assert len({*steps[0:4:2], steps[4]}) == 1 and steps[1] == steps[3] != steps[0]


def test_other_conditions_are_refused_and_can_be_accepted(
    recipe, base, data_of, textured, tmp_path
):
    data, teacher = data_of(textured), Teacher(base=base)
    assert distill(recipe, data, teacher, tmp_path, stop=stopping_after(1)) is None
    other = dataclasses.replace(recipe, dmd2=dataclasses.replace(recipe.dmd2, gan_weight=0.1))
    with pytest.raises(ConfigError, match=r"dmd2\.gan_weight 0\.03 -> 0\.1"):
        distill(other, data, teacher, tmp_path)
    accepted = ("dmd2.gan_weight",)
    assert distill(other, data, teacher, tmp_path, accepted=accepted) is not None


def test_an_adapter_goes_on_from_the_teachers_and_its_file_gives_the_student(
    recipe, base, data_of, textured, tmp_path
):
    _, network = load_checkpoint(base)
    adapter = attach(network, rank=2, generator=torch.Generator().manual_seed(1))
    facts = LoraFacts(base_model="tiny", licence="CC-BY-4.0", trigger="a word")
    save(tmp_path / "teacher.safetensors", adapter, scheme="diffusers", facts=facts)
    teacher = Teacher.parse(f"{base}+{tmp_path / 'teacher.safetensors'}", BaseConfig())
    recipe = dataclasses.replace(recipe, trains="adapter", critic_trains="adapter")
    run = Run(recipe, data_of(textured), teacher, tmp_path / "run")
    assert run.train()
    made = tmp_path / "run" / "checkpoint" / "adapter.safetensors"
    found = read_facts(made)
    assert (found.base_model, found.licence, found.trigger) == ("tiny", "CC-BY-4.0", "a word")
    assert len(found.base_sha256) == 64
    _, again = load_checkpoint(base)
    loaded = load(made, again, base_sha256=found.base_sha256)
    assert {each.rank for each in loaded.low_ranks.values()} == {2}
    trained = dict(run.stage.module.named_parameters())
    for name, parameter in again.named_parameters():
        assert torch.equal(parameter, trained[name]), name
    assert any(each.up.abs().max() > 0 for each in loaded.low_ranks.values())


@pytest.mark.slow
def test_the_best_student_that_passes_is_handed_on(recipe, base, data_of, textured, tmp_path):
    """At a ruinous rate the first look is the best one: it stays."""
    options = dataclasses.replace(
        recipe.student, steps=6, learning_rate=0.3, warm_up=1, ema=0.0, ema_from=0
    )
    recipe = dataclasses.replace(
        recipe, method="regress", student=options, validate_steps=1, gates=GatesConfig(error=9.0)
    )
    verdict = distill(recipe, data_of(textured), Teacher(base=base), tmp_path)
    looks = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    judged = [look for look in looks if "validation" in look and look["step"] > 0]
    facts = json.loads((tmp_path / "checkpoint" / "facts.json").read_text())
    distilled = facts["distilled"]
    assert distilled["gates"] == verdict.as_dict()
    ranks = [(not look["validation"]["passed"], mean_share(look["validation"])) for look in judged]
    best = judged[min(range(len(judged)), key=ranks.__getitem__)]
    assert best["step"] == distilled["step"] < 6
    assert facts["licence"] == "Apache-2.0" and len(facts["base_sha256"]) == 64
    assert distilled["undistilled"]["figures"]["error"] > 0


def mean_share(verdict):
    shares = [verdict["figures"][name] / limit for name, limit in verdict["limits"].items()]
    return sum(shares) / len(shares)


@pytest.mark.slow
def test_strict_makes_a_failing_gate_the_exit_status(base, shards, tmp_path, capsys):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'method = "regress"\nbatch = 2\nchunks = 2\nbfloat16 = false\n'
        "[student]\nsteps = 2\n[gates]\nerror = inf\ntemporal_variance = inf\n"
        "drift = 0.0\nclips = 1\n"
    )
    command = ["distill", str(recipe), "--data", str(shards), "--teacher", str(base)]
    command += ["--out", str(tmp_path / "run")]
    assert main(command) == 0
    assert "failing gates: drift" in capsys.readouterr().out
    assert main([*command, "--strict"]) == 4  # of the finished run
    facts = json.loads((tmp_path / "run" / "checkpoint" / "facts.json").read_text())
    assert "drift" in facts["distilled"]["gates"]["failed"]


def test_unknown_keys_name_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'gan_weight'"):
        parse_recipe({"dmd2": {"gan_wieght": 0.1}})
    with pytest.raises(ConfigError, match=r"one of standard, extra for guidance_form in \[dmd2\]"):
        parse_recipe({"dmd2": {"guidance_form": "cfg"}})
    with pytest.raises(ConfigError, match="one of regress, dmd2, self-forcing for method"):
        parse_recipe({"method": "sid"})
    told = parse_recipe({"student": {"steps": 5}})
    assert told.student.beta1 == 0.0 and told.student.steps == 5


def test_a_student_of_other_sizes_is_refused(recipe, base, data_of, textured, profile, tmp_path):
    wider = dataclasses.replace(profile, hidden=96)
    save_checkpoint(tmp_path / "wide", StreamingAutoencoder(wider), InContextTransformer(wider))
    with pytest.raises(ConfigError, match="expected a student of the teacher's sizes"):
        distill(
            recipe,
            data_of(textured),
            Teacher(base=base),
            tmp_path / "run",
            start=Teacher(base=tmp_path / "wide"),
        )


def test_a_missing_adapter_is_reported():
    with pytest.raises(ConfigError, match=r"got no file nowhere\.safetensors"):
        Teacher.parse("base+nowhere.safetensors", BaseConfig())


@pytest.mark.parametrize("name", ["distill-embedded", "distill-wan-1.3b"])
def test_the_recipes_that_come_along_are_complete(name, capsys):
    path = files("realmaster_live.training") / "recipes" / f"{name}.toml"
    assert main(["distill", str(path), "--print-config"]) == 0
    told = tomllib.loads(capsys.readouterr().out)
    recipe = parse_recipe(told)
    assert recipe == parse_recipe(tomllib.loads(path.read_text()))
    assert recipe.matches and recipe.discriminates and recipe.student.beta1 == 0.0
    assert recipe.dmd2.critic_steps == 5 and recipe.student_steps == 2
