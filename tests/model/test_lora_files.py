"""LoRA files: what diffusers, ComfyUI and musubi-tuner write and read, and what we do."""

import dataclasses
import json

import pytest
import torch
from lora_samples import (
    CONFIGS,
    FACTS,
    TARGETS,
    answer,
    attach_trained,
    metadata_of,
    written_by_diffusers,
)
from safetensors.torch import load_file, save_file
from tiny_wan import make_wan

from realmaster_live.errors import BuildError, ConfigError
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.lora_facts import LoraFacts
from realmaster_live.model.lora_files import load, read_facts, save
from realmaster_live.model.profile import TINY, WAN_1_3B
from realmaster_live.training.latents import ropes

SCHEMES = ("diffusers", "comfyui", "musubi")
FIRST_KEYS = {
    "diffusers": "transformer.blocks.0.attn1.to_q.lora_A.weight",
    "comfyui": "diffusion_model.blocks.0.self_attn.q.lora_A.weight",
    "musubi": "lora_unet_blocks_0_self_attn_q.lora_down.weight",
}


def pipeline_of(transformer: torch.nn.Module):
    from diffusers import WanPipeline

    return WanPipeline(
        tokenizer=None, text_encoder=None, vae=None, scheduler=None, transformer=transformer
    )


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_reads_what_diffusers_writes(tmp_path, wan, config):
    path, theirs = written_by_diffusers(tmp_path, config)
    base = answer(wan)
    load(path, wan)
    torch.testing.assert_close(answer(wan), theirs, rtol=0, atol=1e-5)
    assert not torch.allclose(theirs, base, atol=1e-2)
    assert read_facts(path) is None


def test_reads_what_diffusers_writes_without_a_header(tmp_path, wan):
    config = dict(r=4, lora_alpha=4, target_modules=TARGETS)
    path, theirs = written_by_diffusers(tmp_path, config, metadata=False)
    load(path, wan)
    torch.testing.assert_close(answer(wan), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("alpha", [4.0, 6.0, 0.5])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_diffusers_reads_what_we_write(tmp_path, wan, scheme, alpha):
    path = tmp_path / "lora.safetensors"
    base = answer(wan)
    adapter = attach_trained(wan, alpha=alpha)
    save(path, adapter, scheme=scheme, facts=FACTS)
    ours = answer(wan)
    assert FIRST_KEYS[scheme] in load_file(path)
    theirs = make_wan()
    pipeline_of(theirs).load_lora_weights(tmp_path, weight_name=path.name)
    torch.testing.assert_close(answer(theirs), ours, rtol=0, atol=1e-5)
    assert not torch.allclose(ours, base, atol=1e-4)


def test_diffusers_loads_the_adapter_into_a_bare_transformer(file, wan):
    from diffusers import WanPipeline

    load(file, wan)
    tensors, metadata = WanPipeline.lora_state_dict(file, return_lora_metadata=True)
    theirs = make_wan()
    theirs.load_lora_adapter(tensors, metadata=metadata)
    torch.testing.assert_close(answer(theirs), answer(wan), rtol=0, atol=1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_mixed_ranks_survive_every_scheme(tmp_path, wan, scheme):
    source, theirs = written_by_diffusers(tmp_path, CONFIGS["patterns"])
    path = tmp_path / "again.safetensors"
    save(path, load(source, wan), scheme=scheme, facts=FACTS)
    model = make_wan()
    pipeline_of(model).load_lora_weights(tmp_path, weight_name=path.name)
    torch.testing.assert_close(answer(model), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_round_trip_is_exact(tmp_path, wan, scheme):
    path = tmp_path / "lora.safetensors"
    saved = attach_trained(wan)
    save(path, saved, scheme=scheme, facts=FACTS)
    ours = answer(wan)
    model = make_wan()
    loaded = load(path, model, base_sha256="a" * 64, expert="high_noise")
    assert loaded.low_ranks.keys() == saved.low_ranks.keys()
    assert all(
        torch.equal(a, b) for a, b in zip(loaded.parameters(), saved.parameters(), strict=True)
    )
    assert torch.equal(answer(model), ours)
    assert read_facts(path) == FACTS
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_own_transformer_round_trip(tmp_path, scheme):
    path = tmp_path / "lora.safetensors"
    saved = attach_trained(InContextTransformer(TINY))
    save(path, saved, scheme=scheme, facts=LoraFacts(base_model="tiny", licence="Apache-2.0"))
    loaded = load(path, InContextTransformer(TINY))
    assert len(loaded.low_ranks) == 20
    assert all(
        torch.equal(a, b) for a, b in zip(loaded.parameters(), saved.parameters(), strict=True)
    )


OUR_WAN = dataclasses.replace(
    WAN_1_3B,
    width=24,
    layers=2,
    heads=2,
    hidden=32,
    text_width=16,
    frequency_width=16,
    latent_channels=4,
    chunk_latents=2,
)


@torch.no_grad()
def velocity_of_ours(model: InContextTransformer) -> torch.Tensor:
    """Give the Wan profile of our network the inputs of `answer`."""
    generator = torch.Generator().manual_seed(1)
    latent = torch.randn(1, 4, 2, 4, 4, generator=generator)
    text = torch.randn(1, 3, 16, generator=generator)
    timestep, rope = torch.tensor([0.5]), ropes(OUR_WAN, 2, 2)
    x0 = model.whole(latent, timestep, rope, prompt_kv=model.prompt(text))
    return (latent - x0) / timestep


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_adapter_from_diffusers_acts_on_our_network_as_on_theirs(tmp_path, wan, config):
    model = InContextTransformer(OUR_WAN).eval()
    model.load_state_dict(wan.state_dict())
    base = velocity_of_ours(model)
    path, theirs = written_by_diffusers(tmp_path, config)
    load(path, model)
    torch.testing.assert_close(velocity_of_ours(model), theirs, rtol=0, atol=1e-5)
    assert not torch.allclose(base, theirs, atol=1e-2)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_adapter_of_our_network_acts_in_diffusers(tmp_path, wan, scheme):
    path = tmp_path / "lora.safetensors"
    model = InContextTransformer(OUR_WAN).eval()
    model.load_state_dict(wan.state_dict())
    save(path, attach_trained(model), scheme=scheme, facts=FACTS)
    pipeline_of(wan).load_lora_weights(tmp_path, weight_name=path.name)
    torch.testing.assert_close(answer(wan), velocity_of_ours(model), rtol=0, atol=1e-5)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_equal_adapters_are_equal_files(tmp_path, wan, scheme):
    adapter = attach_trained(wan)
    files = [tmp_path / f"{index}.safetensors" for index in range(4)]
    for path in files:
        save(path, adapter, scheme=scheme, facts=FACTS)
    assert len({path.read_bytes() for path in files}) == 1


def test_peft_naming_of_halves_is_read_in_the_original_scheme(tmp_path, wan):
    """ComfyUI's scheme also occurs with kohya's lora_down and lora_up, and without alpha."""
    path = tmp_path / "lora.safetensors"
    save(path, attach_trained(wan, rank=4, alpha=4), scheme="comfyui", facts=FACTS)
    ours = answer(wan)
    tensors = {
        key.replace("lora_A", "lora_down").replace("lora_B", "lora_up"): tensor
        for key, tensor in load_file(path).items()
        if not key.endswith(".alpha")
    }
    save_file(tensors, path)
    model = make_wan()
    load(path, model)
    assert torch.equal(answer(model), ours)


def test_header_holds_strings_for_other_tools(file):
    header = metadata_of(file)
    assert header["format"] == "pt"
    assert header["reference_downscale_factor"] == "1"
    assert header["base_model"] == "Wan-AI/Wan2.2-T2V-A14B-Diffusers"
    config = json.loads(header["lora_adapter_metadata"])
    assert (config["transformer.r"], config["transformer.lora_alpha"]) == (4, 6.0)


def test_facts_of_a_single_model(tmp_path, wan):
    facts = LoraFacts(base_model="Wan-AI/Wan2.1-T2V-1.3B-Diffusers", licence="Apache-2.0")
    path = tmp_path / "lora.safetensors"
    save(path, attach_trained(wan), scheme="musubi", facts=facts)
    assert "expert" not in metadata_of(path)
    assert read_facts(path) == facts


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"positions": "both"}, "positions among .*, got 'both'"),
        ({"expert": "any"}, "expert among .*, got 'any'"),
        ({"reference_downscale_factor": 0}, "at least 1, got 0"),
    ],
)
def test_facts_are_checked(file, option, message):
    with pytest.raises(ConfigError, match=message):
        LoraFacts(base_model="tiny", licence="Apache-2.0", **option)
    header = metadata_of(file) | {name: str(value) for name, value in option.items()}
    save_file(load_file(file), file, metadata=header)
    with pytest.raises(BuildError, match=f"(?s)facts in the header of .*{message}"):
        read_facts(file)
