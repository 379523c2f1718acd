import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from realmaster_live.errors import BuildError
from realmaster_live.model.checkpoint import load_checkpoint, load_networks, save_checkpoint
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.networks import expert_at
from realmaster_live.model.profile import TINY, WAN_A14B, Profile
from realmaster_live.model.random_weights import random_networks
from realmaster_live.model.vae import StreamingAutoencoder


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    save_checkpoint(tmp_path, StreamingAutoencoder(TINY), InContextTransformer(TINY))
    return tmp_path


def test_round_trip(folder):
    autoencoder, transformer = load_checkpoint(folder)
    assert transformer.profile == TINY
    stored = load_file(folder / "transformer.safetensors")
    assert stored.keys() == transformer.state_dict().keys()
    assert all(torch.equal(stored[k], v) for k, v in transformer.state_dict().items())
    assert not autoencoder.training


def test_differing_tensors_are_named_three_at_most(folder):
    path = folder / "transformer.safetensors"
    tensors = load_file(path)
    del tensors["proj_out.bias"]
    tensors["extra"] = torch.zeros(1)
    tensors["proj_out.weight"] = torch.zeros(3, 3)
    tensors["scale_shift_table"] = torch.zeros(2)
    save_file(tensors, path)
    with pytest.raises(BuildError) as error:
        load_checkpoint(folder)
    text = str(error.value)
    assert "4 that differ" in text
    assert "proj_out.bias missing; extra unknown; proj_out.weight" in text
    assert "scale_shift_table" not in text


def test_damaged_and_missing_files_are_build_errors(folder, tmp_path):
    (folder / "autoencoder.safetensors").write_bytes(b"not tensors")
    with pytest.raises(BuildError, match=r"autoencoder\.safetensors"):
        load_checkpoint(folder)
    with pytest.raises(BuildError, match=r"profile\.json"):
        load_checkpoint(tmp_path / "nowhere")


def test_unknown_profile_field_is_a_build_error(folder):
    path = folder / "profile.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": 1}))
    with pytest.raises(BuildError, match="colour"):
        load_checkpoint(folder)


def test_profile_round_trip():
    assert Profile.from_dict(json.loads(json.dumps(TINY.as_dict()))) == TINY


@pytest.mark.parametrize("guide", ["geometry", "light"])
def test_only_our_own_autoencoder_is_guided(guide):
    fields = replace(TINY, geometry=False, light=False).as_dict() | {guide: True}
    assert Profile.from_dict(fields).name == "tiny"
    with pytest.raises(BuildError, match=r"expected geometry or light in .*, got taehv"):
        Profile.from_dict(fields | {"autoencoder": "taehv"})


def test_every_expert_has_its_file(tmp_path):
    two = replace(TINY, name="tiny-two", experts=2, expert_boundary=0.875)
    networks = random_networks(two, torch.device("cpu"))
    save_checkpoint(tmp_path, *networks)
    assert sorted(path.name for path in tmp_path.glob("transformer*")) == [
        "transformer.safetensors",
        "transformer_2.safetensors",
    ]
    loaded = load_networks(tmp_path)
    for ours, theirs in zip(loaded, networks, strict=True):
        assert all(torch.equal(v, theirs.state_dict()[k]) for k, v in ours.state_dict().items())
        assert not ours.training
    assert not torch.equal(loaded[1].proj_out.weight, loaded[2].proj_out.weight)
    with pytest.raises(BuildError, match="of one expert, got tiny-two with 2"):
        load_checkpoint(tmp_path)
    with pytest.raises(BuildError, match="2 transformers of tiny-two, one for each expert, got 1"):
        save_checkpoint(tmp_path, *networks[:2])
    (tmp_path / "transformer_2.safetensors").unlink()
    with pytest.raises(BuildError, match=r"2 experts of tiny-two .* got no transformer_2\.safe"):
        load_networks(tmp_path)


def test_the_first_expert_serves_from_the_boundary_on():
    served = [expert_at(WAN_A14B, t) for t in (1.0, 0.875, 0.8749, 0.0)]
    assert served == [0, 0, 1, 1]
    assert {expert_at(TINY, t) for t in (1.0, 0.5, 0.0)} == {0}
