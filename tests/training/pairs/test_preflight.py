"""What a run lacks is named before it begins, all of it at once."""

import pytest
from footage import write_recording
from tiny_umt5 import save_encoder
from tiny_vace import save_vace

from realmaster_live.cli import main
from realmaster_live.errors import ConfigError
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.plan import PlanConfig, plan
from realmaster_live.training.pairs.preflight import preflight
from realmaster_live.training.pairs.recipe import Recipe

STAGES = ("anchors", "edges", "propagate", "encode")


@pytest.fixture
def dataset(tmp_path):
    options = PlanConfig(frames=9, fps=20.0, size="keep")
    plan(tmp_path / "set", options, [write_recording(tmp_path / "drive", chunks=3)])
    return tmp_path / "set"


def chain_of(dataset, **tables):
    return Chain(dataset, Recipe(tables=tables))


def test_every_lacking_model_encoder_and_licence_is_named_at_once(dataset, tmp_path):
    (tmp_path / "empty").mkdir()
    chain = chain_of(
        dataset,
        anchors={"editor": "flux1-kontext-dev"},
        propagate={"folder": str(tmp_path / "nowhere")},
        encode={"autoencoder": str(tmp_path / "empty"), "text_encoder": str(tmp_path / "empty")},
    )
    with pytest.raises(ConfigError) as found:
        preflight(chain, STAGES)
    lines = str(found.value).splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("[anchors] expected consent to the licence")
    assert lines[1].startswith("[propagate] ") and "nowhere" in lines[1]
    assert lines[2].startswith("[encode] expected profile.json")
    assert lines[3].startswith("[encode] expected a UMT5 encoder")


def test_a_wan_autoencoder_without_a_text_encoder_is_reported(dataset, tmp_path):
    vace = save_vace(tmp_path / "vace")
    with pytest.raises(ConfigError, match="expected a text_encoder for the latents of a Wan"):
        preflight(chain_of(dataset, encode={"autoencoder": str(vace)}), ["encode"])


def test_nothing_is_asked_of_stages_that_have_all_they_need(dataset, tmp_path):
    vace = save_vace(tmp_path / "vace")
    encoder = save_encoder(tmp_path / "encoder")
    chain = chain_of(
        dataset,
        anchors={"editor": "path-traced"},
        propagate={"folder": str(vace)},
        encode={"autoencoder": str(vace), "text_encoder": str(encoder)},
    )
    preflight(chain, STAGES)


def test_the_command_stops_before_the_first_clip(dataset, tmp_path, capsys):
    recipe = tmp_path / "pairs.toml"
    recipe.write_text(
        f'[propagate]\nfolder = "{tmp_path / "nowhere"}"\n[encode]\nautoencoder = "{tmp_path}"\n'
        '[anchors]\neditor = "path-traced"\n'
    )
    assert main(["pairs", "run", str(dataset), "--recipe", str(recipe)]) == 2
    told = capsys.readouterr()
    assert "nowhere" in told.err and "[encode]" in told.err
    assert not list(dataset.glob("manifest/stage=*"))
