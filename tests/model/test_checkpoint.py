import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from realmaster_live.errors import BuildError
from realmaster_live.model.checkpoint import load_checkpoint, save_checkpoint
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import TINY, Profile
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
