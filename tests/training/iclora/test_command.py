"""The command line, and several processes, as they are really started."""

import dataclasses
import json
import os
import re
import socket
import subprocess
import sys

import pytest
import torch
from latent_clips import make_clips, write_shards
from safetensors.torch import load_file

from realmaster_live.cli import main
from realmaster_live.model.lora_files import read_facts
from realmaster_live.training import session
from realmaster_live.training.recipe_tables import to_toml

VERB = (sys.executable, "-m", "realmaster_live", "fit")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_shards(
        tmp_path_factory.mktemp("data") / "shards",
        {"train": make_clips(12, seed=1), "val": make_clips(1, seed=2)},
    )


def environment(**entries):
    return {**os.environ, "OMP_NUM_THREADS": "1", **{k: str(v) for k, v in entries.items()}}


def write_recipe(path, recipe):
    path.write_text(to_toml(dataclasses.asdict(recipe)))
    return str(path)


@pytest.mark.slow
def test_fit_trains_an_adapter_from_shards(recipe_of, shards, base, tmp_path, monkeypatch):
    """One command, twice: the second finds the run finished and changes nothing."""
    recipe = recipe_of(validation={"every": 2, "clips": 1, "chunks": 2})
    command = [*VERB, write_recipe(tmp_path / "recipe.toml", recipe), "--data", str(shards.parent),
               "--out", str(tmp_path / "run"), "--base", str(base)]  # fmt: skip
    told = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stderr
    assert "loss" in told.stdout  # a run tells how it goes
    adapter = tmp_path / "run" / "adapter.safetensors"
    assert read_facts(adapter).base_model == "tiny"
    content = adapter.read_bytes()
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 2, 3, 4, 4]
    assert (tmp_path / "run" / "samples" / "step=4" / "000.png").stat().st_size > 100
    monkeypatch.setattr(session, "signalled", lambda: lambda: False)  # those of this process stay
    assert main(command[VERB.index("fit") :]) == 0
    assert adapter.read_bytes() == content
    assert (tmp_path / "run" / "metrics.jsonl").read_text().splitlines() == lines


@pytest.mark.slow
def test_two_processes_are_one_with_the_same_batch(recipe_of, shards, base, tmp_path):
    """gloo on CPUs, started as a launcher does; the adapters agree to rounding."""
    pytest.importorskip("accelerate")
    recipe = recipe_of(optimizer={"steps": 6, "accumulate": 2}, save_steps=3)
    path = write_recipe(tmp_path / "recipe.toml", recipe)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    runs = {1: tmp_path / "one", 2: tmp_path / "two"}
    for count, run in runs.items():
        command = [*VERB, path, "--data", str(shards), "--out", str(run), "--base", str(base)]
        place = {"WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        processes = [
            subprocess.Popen(
                command, env=environment(**place, RANK=rank, LOCAL_RANK=rank),
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )
            for rank in range(count)
        ]  # fmt: skip
        for process in processes:
            _, error = process.communicate(timeout=170)
            assert process.returncode == 0, error
    one, two = (load_file(run / "adapter.safetensors") for run in runs.values())
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-5, msg=name)
    norms = [
        [float(x) for x in re.findall(r'"grad": ([\d.]+)', (run / "metrics.jsonl").read_text())]
        for run in runs.values()
    ]
    assert len(norms[0]) == 6
    assert norms[1] == pytest.approx(norms[0], rel=1e-2)
    state = json.loads((runs[2] / "ckpt" / "step=6" / "state.json").read_text())
    assert state["processes"] == 2
