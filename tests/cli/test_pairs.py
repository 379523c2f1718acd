"""`realmaster pairs`: its verbs on a dataset of stages that need no frames."""

import json
import tomllib
from dataclasses import dataclass

import pytest
from footage import write_pair
from trial_dataset import calls, make_dataset

from realmaster_live.cli import main, pairs
from realmaster_live.cli.verbs import PAIRS, Verb
from realmaster_live.jobs.worker import Worker
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.work import StageWork


def own_stages(monkeypatch) -> None:
    """Let the verbs of stages name the trial stages too."""
    for name in ("copies", "counts"):
        stage = dataclass(frozen=True, kw_only=True)(type(name, (pairs.Stage,), {"name": name}))
        monkeypatch.setattr(pairs, name, stage, raising=False)
        verb = Verb(module="pairs", options=name, run="run_stage", extra="training")
        monkeypatch.setitem(PAIRS, name, verb)


def test_a_stage_says_what_it_made_and_what_it_cost(tmp_path, monkeypatch, capsys):
    own_stages(monkeypatch)
    dataset = make_dataset(tmp_path)
    assert main(["pairs", "copies", str(dataset), "--dry-run"]) == 0
    assert capsys.readouterr().out == (
        "copies: 4 to make, 0 reused; time and bytes unknown until one is made\n"
    )
    assert calls(dataset) == []

    assert main(["pairs", "copies", str(dataset), "--workers", "2"]) == 0
    output = capsys.readouterr()
    assert output.err.startswith("copies: 3 to make, 1 reused; about ")
    assert "as measured" in output.err, "the pilot's figures come before the run"
    assert output.out.startswith("copies: 3 made, 1 reused, 0 in quarantine, 0 waiting; ")
    assert sorted(calls(dataset)) == ["c00", "c01", "c02", "c03"]

    assert main(["pairs", "copies", str(dataset)]) == 0
    assert capsys.readouterr().out.startswith("copies: 0 made, 4 reused")
    assert main(["pairs", "counts", str(dataset), "--dry-run"]) == 0
    assert "counts: 4 to make, 0 reused" in capsys.readouterr().out


def test_quarantine_has_an_exit_status_and_retry_a_meaning(tmp_path, monkeypatch, capsys):
    own_stages(monkeypatch)
    dataset = make_dataset(tmp_path, poison=["c01"], run={"attempts": 1})
    assert main(["pairs", "copies", str(dataset), "--no-pilot"]) == 3
    assert "c01: expected another" in capsys.readouterr().err
    assert main(["pairs", "copies", str(dataset)]) == 3
    make_dataset(dataset, run={"attempts": 1})
    assert main(["pairs", "copies", str(dataset), "--retry"]) == 0
    assert "1 made, 3 reused" in capsys.readouterr().out


def test_a_dry_run_on_slurm_shows_the_script(tmp_path, monkeypatch, capsys):
    own_stages(monkeypatch)
    dataset = make_dataset(tmp_path)
    flags = ["--dry-run", "--executor", "slurm", "--workers", "4"]
    assert main(["pairs", "copies", str(dataset), *flags]) == 0
    assert "#SBATCH --array=0-3" in capsys.readouterr().out


def test_garbage_is_reported_and_collected(tmp_path, capsys):
    dataset = make_dataset(tmp_path, run={"lease_s": 0.001})
    Worker(StageWork(Chain(dataset), "copies")).run()
    kept, *rows = sorted((dataset / "manifest/stage=copies").iterdir())
    for row in rows:
        row.unlink()
    assert main(["pairs", "gc", str(dataset), "--dry-run"]) == 0
    assert "3 objects, 0 unfinished files and 0 abandoned leases would go: 300 bytes" in (
        capsys.readouterr().out
    )
    assert len(list(dataset.glob("objects/*/*"))) == 4
    assert main(["pairs", "gc", str(dataset)]) == 0
    assert "went: 300 bytes" in capsys.readouterr().out
    assert len(list(dataset.glob("objects/*/*"))) == 1
    kept.unlink()  # without any row nobody can say what is garbage
    assert main(["pairs", "gc", str(dataset)]) == 1
    assert "put the manifest back" in capsys.readouterr().err
    assert len(list(dataset.glob("objects/*/*"))) == 1


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["gc", "nowhere"], 1, "realmaster pairs plan nowhere SOURCE"),
        (["plan", "somewhere"], 2, "expected recordings to plan"),
        (["anchors"], 2, "DATASET"),
        (["anchors", "nowhere"], 1, "realmaster pairs plan nowhere SOURCE"),
        (["smudge", "somewhere"], 2, "smudge"),
        (["edges", "somewhere", "--workers", "0"], 2, "1 or more for --workers"),
        (["work", "somewhere", "--stage", "edges", "--shard", "4/4"], 2, "a share such as 0/4"),
    ],
)
def test_wrong_uses_are_one_sentence(arguments, status, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["pairs", *arguments]) == status
    output = capsys.readouterr().err
    assert words in output
    assert output.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


RECIPE = """
[plan]
frames = 9
size = "64x32"
[propagate]
method = "exact"
[gate]
max_palette_drift = false
[split]
by = "seed"
[encode]
autoencoder = "{model}"
[run]
attempts = 1
"""


@pytest.fixture
def footage_and_recipe(tmp_path):
    """Pairs of two towns with a truth of their own, and a recipe for them."""
    torch = pytest.importorskip("torch")
    from realmaster_live.model.checkpoint import save_checkpoint
    from realmaster_live.model.dit import InContextTransformer
    from realmaster_live.model.profile import TINY
    from realmaster_live.model.vae import StreamingAutoencoder

    torch.manual_seed(3)
    model = tmp_path / "model"
    save_checkpoint(model, StreamingAutoencoder(TINY), InContextTransformer(TINY))
    write_pair(tmp_path / "pairs", 3, frames=9)
    write_pair(tmp_path / "pairs", 900, frames=9, first=20)
    recipe = tmp_path / "mine.toml"
    recipe.write_text(RECIPE.format(model=model))
    return tmp_path / "pairs", recipe


@pytest.mark.slow
def test_run_goes_from_pairs_to_shards_and_makes_nothing_twice(
    footage_and_recipe, tmp_path, capsys
):
    source, recipe = footage_and_recipe
    dataset = tmp_path / "set"
    flags = ["--recipe", str(recipe)]

    assert main(["pairs", "run", str(dataset), str(source), *flags, "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("2 clips of 9 frames")
    assert not dataset.exists() or not list(dataset.iterdir())

    assert main(["pairs", "run", str(dataset), str(source), *flags, "--no-pilot"]) == 0
    output = capsys.readouterr()
    assert "propagate: 2 made, 0 reused" in output.out
    assert "in all: 6 to make, 0 reused; time and bytes unknown until one is made" in output.err
    assert (dataset / "shards/index.parquet").is_file()

    before = sorted(dataset.glob("objects/*/*"))
    assert main(["pairs", "run", str(dataset)]) == 0
    output = capsys.readouterr()
    assert "encode: 0 made, 2 reused" in output.out
    assert output.err == ""
    assert sorted(dataset.glob("objects/*/*")) == before

    assert main(["pairs", "status", str(dataset), "--json"]) == 0
    output = json.loads(capsys.readouterr().out)
    assert [(stage["stage"], stage["done"]) for stage in output["stages"]] == [
        ("propagate", 2), ("gate", 2), ("encode", 2),
    ]  # fmt: skip
    assert main(["pairs", "status", str(dataset)]) == 0
    assert "waiting  time left" in capsys.readouterr().out
    assert main(["pairs", "gate", str(dataset)]) == 0
    output = capsys.readouterr().out
    assert "2 of 2 clips passed" in output
    assert "max_palette_drift = false" in output
    assert len(list((dataset / "verdicts").iterdir())) == 1
    assert main(["pairs", "gallery", str(dataset)]) == 0
    assert (dataset / "gallery/index.html").is_file()
    assert main(["pairs", "gc", str(dataset), "--superseded", "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("0 objects")

    recipe.write_text(recipe.read_text().replace("64x32", "96x32"))
    assert main(["pairs", "propagate", str(dataset), *flags]) == 2
    assert "plan.size: '64x32' -> '96x32'" in capsys.readouterr().err


def test_the_resolved_recipe_is_printed(footage_and_recipe, tmp_path, capsys):
    _, recipe = footage_and_recipe
    flags = ["--recipe", str(recipe), "--print-config"]
    assert main(["pairs", "run", str(tmp_path / "set"), *flags]) == 0
    printed = tomllib.loads(capsys.readouterr().out)
    assert printed["plan"]["size"] == "64x32"
    assert printed["run"]["attempts"] == 1
    assert printed["gate"]["max_palette_drift"] is False
    assert not (tmp_path / "set").exists()


def test_render_is_the_towns_own_command(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["pairs", "render", "--help"])
    assert ended.value.code == 0
    assert "--seeds" in capsys.readouterr().out
