"""Recipes: one table a stage, kept with the dataset."""

import tomllib
from dataclasses import dataclass, field
from typing import Literal

import pytest

from realmaster_live.errors import ConfigError
from realmaster_live.jobs.executors import RunConfig
from realmaster_live.training.pairs.recipe import (
    FILE,
    Recipe,
    choose_recipe,
    differences,
    keep_recipe,
    load_recipe,
    read_recipe,
)
from realmaster_live.training.pairs.stages import ORDER
from realmaster_live.training.recipe_tables import build, to_toml


@dataclass(frozen=True, kw_only=True)
class Inner:
    low: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Options:
    name: str = "a"
    share: float = 0.5
    count: int = 3
    fast: bool = False
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[int, str] = (1, "x")
    seed: int | None = None
    kind: Literal["red", "blue"] = "red"
    inner: Inner = field(default_factory=Inner)


def test_values_take_the_types_of_their_fields():
    table = {"share": 1, "sizes": [4, 5], "seed": 7, "kind": "blue", "inner": {"low": 2}}
    made = build(Options, table, "[options]")
    assert made == Options(share=1.0, sizes=(4, 5), seed=7, kind="blue", inner=Inner(low=2.0))
    assert isinstance(made.share, float)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"cuont": 3}, "got 'cuont': did you mean 'count'"),
        ({"zzz": 3}, "use one of name, share"),
        ({"count": "3"}, "expected a whole number for count in .options., got '3'"),
        ({"count": True}, "expected a whole number"),
        ({"fast": 1}, "expected true or false"),
        ({"sizes": [1, "b"]}, "got 'b'"),
        ({"pair": [1]}, "got .1."),
        ({"kind": "green"}, "one of red, blue"),
        ({"inner": {"lwo": 1}}, "did you mean 'low'"),
    ],
)
def test_what_is_wrong_is_named(table, words):
    with pytest.raises(ConfigError, match=words):
        build(Options, table, "[options]")


def test_toml_comes_back_as_it_went():
    tables = {
        "run": {"attempts": 3, "share": 0.1, "small": 1e-7, "words": ["a", 'b "c" \\ ü']},
        "my.stage": {"fast": True, "inner": {"low": 1.5}},
    }
    assert tomllib.loads(to_toml(tables | {"x": {"none": None}})) == tables | {"x": {}}


def test_unknown_tables_and_bare_keys_are_named(tmp_path):
    path = tmp_path / FILE
    for text, words in (
        ("[edgse]\n", r"got \[edgse\]: did you mean 'edges'"),
        ("low = 3\n", "got low = 3: put it in a table"),
        ("[edges\n", "expected a recipe in TOML"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=words):
            load_recipe(path)


def test_the_run_table_holds_what_does_not_change_content():
    recipe = Recipe(tables={"run": {"attempts": 5, "sbatch": ["--gres=gpu:1"]}})
    assert recipe.run == RunConfig(attempts=5, sbatch=("--gres=gpu:1",))
    assert differences({"run": {"attempts": 3}}, {"run": {"attempts": 5}}) == []
    assert differences({"a": {"x": 1, "y": 2}}, {"a": {"x": 1, "y": 3}}) == ["a.y: 2 -> 3"]
    assert differences({"a": {"device": "cpu"}}, {"a": {"device": "cuda"}}) == []


def test_a_dotted_table_is_a_stage_of_ones_own():
    recipe = Recipe(tables={"trial_stages.copies": {"text": "print"}})
    assert recipe.own == ("trial_stages.copies",)
    assert recipe.config("trial_stages.copies").text == "print"
    with pytest.raises(ConfigError, match="got none called trial_stages"):
        recipe.config("trial_stages.nothing")


def test_a_dataset_keeps_its_recipe_resolved_and_names_what_differs(tmp_path):
    dataset, given = tmp_path / "set", tmp_path / "mine.toml"
    given.write_text('["trial_stages.copies"]\ntext = "print"\n')
    keep_recipe(dataset, choose_recipe(dataset, given))
    kept = tomllib.loads((dataset / FILE).read_text())
    assert set(kept) == {"run", "trial_stages.copies", *ORDER}
    assert kept["trial_stages.copies"]["bytes"] == 100
    assert read_recipe(dataset).resolved() == choose_recipe(dataset, None).resolved()

    given.write_text('["trial_stages.copies"]\ntext = "etch"\n[run]\nattempts = 9\n')
    with pytest.raises(ConfigError, match=r"trial_stages.copies.text: 'print' -> 'etch': leave"):
        choose_recipe(dataset, given)
    keep_recipe(dataset, choose_recipe(dataset, given, accept_change=True))
    assert read_recipe(dataset).config("trial_stages.copies").text == "etch"
    assert read_recipe(dataset).run.attempts == 9
