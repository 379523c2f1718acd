"""The flags that say how a model runs, and what a replay remembers of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_autoencoders import make
from wan_folder import make_folder

from realmaster_live.cli import main
from realmaster_live.cli.attach import Attach
from realmaster_live.cli.bench import Bench
from realmaster_live.cli.parsing import read_options
from realmaster_live.cli.replay import Replay
from realmaster_live.engines.options import EngineOptions, QualityOptions
from realmaster_live.errors import ConfigError
from realmaster_live.model.checkpoint import save_checkpoint
from realmaster_live.model.importing import import_model
from realmaster_live.model.profile import TINY
from realmaster_live.model.random_weights import random_networks
from realmaster_live.prompts import PROMPTS_FILE, PromptTable
from realmaster_live.recording import Recording
from realmaster_live.replay.job import decisive

FLAGS = (
    *("--device", "cuda:1", "--precision", "fp8", "--steps", "4", "--compile"),
    *("--adapter", "snow.safetensors:0.8", "--adapter", "C:/night.safetensors"),
    "--ignore-unsupported",
)
EXPECTED = {
    "device": "cuda:1",
    "precision": "fp8",
    "steps": 4,
    "compile": True,
    "adapter": ((Path("snow.safetensors"), 0.8), (Path("C:/night.safetensors"), 1.0)),
    "ignore_unsupported": True,
}


@pytest.mark.parametrize("cls", [Attach, Bench, Replay])
def test_every_verb_that_runs_a_model_takes_them(cls):
    assert read_options(cls, FLAGS, verb=("verb",)).running.given() == EXPECTED
    assert read_options(cls, (), verb=("verb",)).running.given() == {}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--steps", "0"), "--steps from 1 to 100, got 0"),
        (("--precision", "fp4"), "one of fp32, bf16, fp8"),
        (("--adapter", "snow.safetensors:nan"), "a file such as snow.safetensors:0.8"),
    ],
)
def test_wrong_values_are_named(flags, said):
    with pytest.raises(ConfigError, match=said):
        read_options(Attach, flags, verb=("attach",))


def test_a_replay_remembers_what_decides_its_pictures(tmp_path):
    path = tmp_path / "lora.safetensors"
    path.write_bytes(b"one")
    options = QualityOptions(device="cuda", compile=True, steps=3, adapter=((path, 0.5),))
    before = decisive(options, "embedded")
    assert before.keys() == {"steps", "adapter"}
    path.write_bytes(b"two")
    assert decisive(options, "embedded") != before
    assert decisive(QualityOptions(device="cuda"), "embedded") == {}
    assert QualityOptions().given() == EngineOptions().given() == {}
    path.unlink()
    with pytest.raises(ConfigError, match=r"a LoRA file at .*lora\.safetensors, got no such file"):
        decisive(options, "embedded")


def test_a_gpu_that_is_not_there_is_one_sentence(tmp_path, capsys):
    checkpoint = tmp_path / "checkpoint"
    save_checkpoint(checkpoint, *random_networks(TINY, torch.device("cpu")))
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(8):
        Image.new("RGB", (96, 64)).save(pictures / f"{index:03}.png")
    command = ["replay", str(pictures), "--fps", "10", "--engine", str(checkpoint)]
    assert main([*command, "--device", "cuda:7", "--out", str(tmp_path / "no")]) == 1
    assert "realmaster: error: expected CUDA device 7, got" in capsys.readouterr().err
    assert main([*command, "--steps", "3", "--out", str(tmp_path / "yes")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "(tiny) on cpu in fp32, autoencoder StreamingAutoencoder, 96x64, chunks of 4" in told
    assert "at 10 a second, 3 steps)" in told


def test_a_recording_in_the_quality_mode(tmp_path, capsys):
    profile = replace(TINY, prompts=("photo", "negative"))
    checkpoint, pictures = tmp_path / "checkpoint", tmp_path / "pictures"
    save_checkpoint(checkpoint, *random_networks(profile, torch.device("cpu")))
    pictures.mkdir()
    for index in range(10):
        Image.new("RGB", (96, 64)).save(pictures / f"{index:03}.png")
    command = ["replay", str(pictures), "--fps", "10", "--engine", str(checkpoint)]
    command += ["--steps", "2", "--guidance", "3", "--autoencoder", str(checkpoint)]
    assert main([*command, "--device", "cpu", "--out", str(tmp_path / "made")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "chunks of 8 at 10 a second, 2 steps, guidance 3)" in told
    recording = Recording(tmp_path / "made")
    assert sum(1 for _ in recording.frames()) == 8


def test_a_recording_with_wans_own_autoencoder(tmp_path, capsys):
    folder, tiny = make_folder(tmp_path / "pipeline"), tmp_path / "taew2_1.pth"
    torch.save(make("taew2_1").state_dict(), tiny)
    import_model(folder, tmp_path / "model", profile="wan-1.3b-480", autoencoder=f"taehv:{tiny}")
    texts = {name: np.zeros((3, 16), np.float32) for name in ("clear", "negative")}
    PromptTable(texts).save(tmp_path / "model" / PROMPTS_FILE)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(9):
        Image.new("RGB", (48, 32), (index * 20, 80, 120)).save(pictures / f"{index:03}.png")
    command = ["replay", str(pictures), "--fps", "10", "--engine", str(tmp_path / "model")]
    command += ["--steps", "3", "--guidance", "5", "--autoencoder", "wan", "--device", "cpu"]
    assert main([*command, "--out", str(tmp_path / "made")]) == 0
    assert "autoencoder WanAutoencoder" in " ".join(capsys.readouterr().out.split())
    assert sum(1 for _ in Recording(tmp_path / "made").frames()) == 9
    stamped = [
        decisive(QualityOptions(autoencoder=choice), str(tmp_path / "model"))["autoencoder"]
        for choice in ("wan", str(folder), f"taehv:{tiny}")
    ]
    assert all(stamped)
    command[command.index("wan")] = "none"
    assert main([*command, "--out", str(tmp_path / "no")]) == 1
    assert "expected wan, taehv:FILE, or the folder" in capsys.readouterr().err
