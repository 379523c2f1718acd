"""`realmaster prompts` lists what a model knows, and embeds texts that an engine then shows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from installed import needs
from street import make_chunk
from tiny_umt5 import WIDTH, save_encoder

from realmaster_live.cli import main
from realmaster_live.engines.load import load_engine
from realmaster_live.model.checkpoint import save_checkpoint
from realmaster_live.model.profile import TINY
from realmaster_live.model.random_weights import random_networks
from realmaster_live.prompts import PRESETS, PROMPTS_FILE, PromptTable

pytestmark = needs("transformers")

TEXT = "snow falls on the road"


def checkpoint(folder, profile):
    save_checkpoint(folder, *random_networks(profile, torch.device("cpu")))
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoder"))


def test_embedded_texts_are_what_the_engine_shows(encoder, tmp_path, capsys):
    profile = replace(TINY, name="tiny-prompted", prompts=(), prompt_tokens=0, text_width=WIDTH)
    folder = checkpoint(tmp_path, profile)
    assert main(["prompts", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder} knows no prompts\n"
    assert main(["prompts", str(folder), "--encoder", str(encoder), "--prompt", TEXT]) == 0
    lines = capsys.readouterr().out.splitlines()
    presets = [f"{name}: {text}" for name, text in PRESETS.items()]
    assert lines == [*presets, TEXT, "negative: (no text)"]
    table = PromptTable.load(folder / PROMPTS_FILE)
    assert [*table] == [*PRESETS, TEXT, "negative"]
    assert table.encoder == str(encoder)
    shown = {}
    for name in ("rain", TEXT):
        with load_engine(str(folder), width=96, height=64, threads=1, prompt=name) as engine:
            shown[name] = engine.realize(make_chunk(0))
        assert shown[name].prompt == name
    assert not np.array_equal(shown["rain"].frames, shown[TEXT].frames)


def test_an_encoder_of_another_width_leaves_nothing(encoder, tmp_path, capsys):
    profile = replace(TINY, name="tiny-prompted", prompts=(), prompt_tokens=0, text_width=WIDTH + 4)
    folder = checkpoint(tmp_path, profile)
    assert main(["prompts", str(folder), "--encoder", str(encoder)]) == 1
    assert "expected embeddings of 20 channels, got 16 of 'clear'" in capsys.readouterr().err
    assert not (folder / PROMPTS_FILE).exists()


def test_learnt_and_exported_prompts_are_listed(tmp_path, tiny_model, capsys):
    folder = checkpoint(tmp_path, TINY)
    assert main(["prompts", str(folder)]) == 0
    trained = [f"{name}: trained with the model" for name in TINY.prompts]
    assert capsys.readouterr().out.splitlines() == trained
    assert main(["prompts", str(tiny_model)]) == 0
    exported = [f"{name}: in the exported graphs" for name in TINY.prompts]
    assert capsys.readouterr().out.splitlines() == exported


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--encoder", "e"], "got tiny, which has trained its own: leave --encoder out"),
        (["--prompt", TEXT], f"expected --encoder with --prompt '{TEXT}', got none"),
    ],
)
def test_a_wrong_use_is_status_2(arguments, words, tmp_path, capsys):
    folder = checkpoint(tmp_path, TINY)
    assert main(["prompts", str(folder), *arguments]) == 2
    assert words in capsys.readouterr().err
    assert main(["prompts", str(tmp_path / "nowhere")]) == 2
    assert "profile.json" in capsys.readouterr().err
