import dataclasses
import math
from pathlib import Path

import pytest

from realmaster_live.cli import main
from realmaster_live.errors import ConfigError
from realmaster_live.model.profile import WAN_1_3B
from realmaster_live.training.iclora.recipe import (
    IcLoraRecipe,
    fingerprint,
    load_recipe,
    parse_recipe,
)
from realmaster_live.training.recipe import method_of
from realmaster_live.training.recipe_tables import read_table, to_toml

RECIPES = Path("training/recipes")


def test_the_wan_recipe_has_the_values_that_it_says():
    recipe = load_recipe(RECIPES / "ic-lora-wan-1.3b.toml")
    assert (recipe.adapter.rank, recipe.adapter.alpha) == (32, 32.0)
    assert (recipe.optimizer.learning_rate, recipe.optimizer.steps) == (2e-4, 3000)
    assert recipe.conditions.first_latent == 0.2
    assert recipe.conditions.chunks_for(WAN_1_3B) == WAN_1_3B.sink + WAN_1_3B.ring + 1
    assert "paper" not in (RECIPES / "ic-lora-wan-1.3b.toml").read_text()


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_recipe_names_a_known_method(path):
    expected = "ic-lora" if path.stem.startswith("ic-lora") else "stages"
    table = read_table(path)
    if table.get("method", "stages") in ("stages", "ic-lora"):
        assert method_of(table) == expected


def test_the_printed_recipe_is_the_same_recipe(tmp_path, capsys):
    path = RECIPES / "ic-lora-embedded.toml"
    assert main(["fit", str(path), "--print-config", "--base", "somewhere"]) == 0
    (tmp_path / "printed.toml").write_text(capsys.readouterr().out)
    printed, own = load_recipe(tmp_path / "printed.toml"), load_recipe(path)
    assert printed.base.checkpoint == "somewhere"
    base = dataclasses.replace(printed.base, checkpoint="")
    assert dataclasses.replace(printed, base=base) == own


def test_toml_holds_every_kind_of_value(tmp_path):
    table = {"a": 1, "b": True, "c": 'say "x"\\', "d": [0.5, math.inf], "e": {"f": 2e-4, "g": []}}
    (tmp_path / "t.toml").write_text(to_toml(table))
    assert read_table(tmp_path / "t.toml") == table


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"method": "lora"}, "one of ic-lora for method"),
        ({"optimiser": {}}, "did you mean 'optimizer'"),
        ({"adapter": {"rnak": 8}}, r"\[adapter\], got 'rnak': did you mean 'rank'"),
        ({"memory": {"weights": "int4"}}, "fp32, bf16, int8"),
        ({"memory": {"bfloat16": False}}, "bfloat16 = false"),
        ({"optimizer": {"schedule": "steps"}}, "cosine, linear, constant"),
        ({"optimizer": {"bits": 4}}, "8 or 32"),
        ({"optimizer": {"accumulate": 0}}, "accumulate of at least 1"),
    ],
)
def test_wrong_entries_are_reported(table, words):
    with pytest.raises(ConfigError, match=words):
        parse_recipe(table)


def test_the_fingerprint_leaves_out_what_may_change():
    recipe = IcLoraRecipe()
    one = fingerprint(recipe, data_sha256="d", base_sha256="b")
    looks = dataclasses.replace(recipe.validation, clips=9)
    free = dataclasses.replace(recipe, threads=7, log_steps=1, tensorboard=True, validation=looks)
    assert fingerprint(free, data_sha256="d", base_sha256="b") == one
    for changed in (
        dataclasses.replace(recipe, seed=1),
        dataclasses.replace(recipe, batch=2),
        dataclasses.replace(recipe, adapter=dataclasses.replace(recipe.adapter, rank=8)),
        dataclasses.replace(recipe, memory=dataclasses.replace(recipe.memory, weights="int8")),
    ):
        assert fingerprint(changed, data_sha256="d", base_sha256="b") != one
    assert fingerprint(recipe, data_sha256="e", base_sha256="b") != one
    assert fingerprint(recipe, data_sha256="d", base_sha256="c") != one


def test_flags_that_belong_to_the_other_method_are_reported(tmp_path, capsys):
    path = str(RECIPES / "ic-lora-embedded.toml")
    rest = ["--data", str(tmp_path), "--out", str(tmp_path / "run")]
    assert main(["fit", path, *rest, "--start", "x"]) == 2
    assert "use --base" in capsys.readouterr().err
    assert main(["fit", str(RECIPES / "embedded.toml"), *rest, "--base", "x"]) == 2
    assert "use --start" in capsys.readouterr().err
    assert main(["fit", path]) == 2
    assert "--data and --out" in capsys.readouterr().err
