import json

import pytest
import torch
from latent_clips import write_base

from realmaster_live.errors import BuildError, ConfigError
from realmaster_live.model.profile import TINY, WAN_1_3B
from realmaster_live.model.tensor_files import hash_tensors, read_shards
from realmaster_live.training.iclora.base import BaseConfig, load_base, prepare
from realmaster_live.training.iclora.int8 import Int8Linear


@pytest.fixture(scope="module")
def wan(tmp_path_factory):
    """A folder as a diffusers pipeline is on disk, with a tiny transformer of random weights."""
    from diffusers import WanTransformer3DModel

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("wan")
    model = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=24, in_channels=16,
        out_channels=16, text_dim=20, freq_dim=32, ffn_dim=64, num_layers=2, rope_max_seq_len=16,
    )  # fmt: skip
    model.save_pretrained(folder / "transformer", max_shard_size="100KB")
    return folder, model


def test_a_diffusers_folder_is_read_with_its_own_sizes(wan):
    folder, model = wan
    files = sorted((folder / "transformer").glob("*.safetensors"))
    assert len(files) > 1  # in shards, as the large ones are
    base = load_base(BaseConfig(checkpoint=str(folder), name="Wan", licence="Apache-2.0"))
    assert (base.profile.width, base.profile.layers, base.profile.text_width) == (48, 2, 20)
    assert base.profile.chunk_latents == WAN_1_3B.chunk_latents
    for name, tensor in model.state_dict().items():
        assert torch.equal(base.transformer.state_dict()[name], tensor), name
    assert base.autoencoder is None
    assert (base.name, base.licence, base.span) == ("Wan", "Apache-2.0", (0.0, 1.0))
    assert base.sha256 == hash_tensors(read_shards(files))
    inner = load_base(BaseConfig(checkpoint=str(folder / "transformer")))
    assert inner.sha256 == base.sha256


def test_a_checkpoint_of_ours_has_its_profile_and_autoencoder(tmp_path):
    base = load_base(BaseConfig(checkpoint=str(write_base(tmp_path))))
    assert base.profile == TINY
    assert base.autoencoder is not None
    assert base.sha256 == hash_tensors(read_shards([tmp_path / "transformer.safetensors"]))


def test_two_experts_are_asked_for_by_name(wan):
    folder, _ = wan
    with pytest.raises(ConfigError, match="expected an expert for wan-a14b"):
        load_base(BaseConfig(checkpoint=str(folder), profile="wan-a14b"))
    high = load_base(BaseConfig(checkpoint=str(folder), profile="wan-a14b", expert="high_noise"))
    assert (high.expert, high.span) == ("high_noise", (0.875, 1.0))
    with pytest.raises(ConfigError, match="expected no expert"):
        load_base(BaseConfig(checkpoint=str(folder), expert="low_noise"))


def test_what_is_no_model_is_reported(tmp_path):
    with pytest.raises(ConfigError, match="give --base FOLDER"):
        load_base(BaseConfig())
    with pytest.raises(BuildError, match="Wan-AI/Wan2"):
        load_base(BaseConfig(checkpoint=str(tmp_path)))
    (tmp_path / "config.json").write_text(json.dumps({"num_layers": 2}))
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    with pytest.raises(BuildError):
        load_base(BaseConfig(checkpoint=str(tmp_path)))
    with pytest.raises(ConfigError, match="profile among"):
        BaseConfig(profile="wan")


@pytest.mark.parametrize("weights", ["bf16", "int8"])
def test_frozen_weights_are_stored_small(wan, weights):
    base = load_base(BaseConfig(checkpoint=str(wan[0])))
    prepare(base, weights=weights, device=torch.device("cpu"))
    query = base.transformer.blocks[0].attn1.to_q
    assert isinstance(query, Int8Linear) == (weights == "int8")
    stored = query.codes if weights == "int8" else query.weight
    assert stored.dtype == {"int8": torch.int8, "bf16": torch.bfloat16}[weights]
    assert not any(p.requires_grad for p in base.transformer.parameters())
