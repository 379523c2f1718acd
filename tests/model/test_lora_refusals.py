"""LoRA files that do not fit: what is refused, and by which sentence."""

import dataclasses

import pytest
import torch
from lora_samples import CONFIGS, FACTS, attach_trained, metadata_of, written_by_diffusers
from safetensors.torch import load_file, save_file
from tiny_wan import make_wan

from realmaster_live.errors import BuildError, ConfigError
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.lora import attach
from realmaster_live.model.lora_facts import check_base
from realmaster_live.model.lora_files import load, read_facts, save
from realmaster_live.model.profile import TINY


def test_wrong_expert_and_wrong_base_are_errors(file, tmp_path, wan):
    with pytest.raises(BuildError, match=r"expert low_noise, got .* with high_noise: give the"):
        load(file, wan, expert="low_noise")
    with pytest.raises(BuildError, match=r"base_sha256 b+, got .* with a+: give the"):
        load(file, wan, base_sha256="b" * 64)
    foreign, _ = written_by_diffusers(tmp_path, CONFIGS["few"])
    with pytest.raises(BuildError, match=r"expert low_noise, got .* with None: .* leave expert"):
        load(foreign, wan, expert="low_noise")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            {"reference_downscale_factor": "2"},
            "reference_downscale_factor '2': train it with a",
        ),
        ({"positions": "continued"}, "with positions 'continued': train it with shared"),
    ],
)
def test_a_reference_that_no_engine_has_is_refused_by_name(file, wan, header, message):
    """Whoever wrote the header: other trainers use the same names without our other facts."""
    for kept in ({}, metadata_of(file)):
        save_file(load_file(file), file, metadata=kept | header)
        with pytest.raises(BuildError, match=message):
            load(file, wan)


def test_the_base_that_a_file_names_is_checked(file):
    check_base(file, read_facts(file), "a" * 64)
    check_base(file, None, "b" * 64)
    with pytest.raises(BuildError, match=r"sha256 a{12}, got b{12}: give that base model"):
        check_base(file, read_facts(file), "b" * 64)


def test_wrong_model_names_three_keys_and_changes_nothing(file):
    wide = make_wan(heads=4)
    names = list(wide.state_dict())
    with pytest.raises(BuildError) as error:
        load(file, wide)
    text = str(error.value)
    assert "for Wan-AI/Wan2.2-T2V-A14B-Diffusers with 20 that differ" in text
    assert "(blocks.0.attn1.to_q lora_B (24, 4) != (48, 4)" in text
    assert text.count(" != ") == 3
    assert all(each.requires_grad for each in wide.parameters())
    assert [name for name, _ in wide.named_parameters()] == names


def test_layers_that_the_model_lacks_are_named(tmp_path, wan):
    """A model without prompts has no cross-attention."""
    mute = dataclasses.replace(TINY, text_width=0, prompts=(), prompt_tokens=0)
    path = tmp_path / "lora.safetensors"
    generator = torch.Generator().manual_seed(0)
    adapter = attach(wan, rank=4, targets=("attn2.to_k",), generator=generator)
    save(path, adapter, scheme="musubi", facts=FACTS)
    with pytest.raises(BuildError, match="6 that differ") as error:
        load(path, InContextTransformer(mute))
    names = [f"lora_unet_blocks_0_cross_attn_k.{end}" for end in ("alpha", "lora_down.weight")]
    assert all(f"{name} unknown" in str(error.value) for name in names)


def spoil(path, key, tensor) -> None:
    tensors = load_file(path)
    tensors.pop(key, None)
    if tensor is not None:
        tensors[key] = tensor
    save_file(tensors, path, metadata=metadata_of(path))


QUERY = "transformer.blocks.0.attn1.to_q"


@pytest.mark.parametrize(
    ("key", "tensor", "message"),
    [
        (f"{QUERY}.lora_B.weight", None, "blocks.0.attn1.to_q has no lora_B"),
        (f"{QUERY}.lora_A.weight", None, "blocks.0.attn1.to_q has no lora_A"),
        (f"{QUERY}.lora_A.weight", torch.ones(3, 24), r"lora_B \(24, 4\) != \(24, 3\)"),
        (f"{QUERY}.lora_A.weight", torch.ones(4, 25), r"lora_A \(4, 25\) != \(4, 24\)"),
        (f"{QUERY}.alpha", torch.ones(2), r"alpha \(2,\) != \(\)"),
        ("transformer.blocks.7.attn1.to_q.lora_A.weight", torch.ones(4, 24), "blocks.7.* unknown"),
        (f"{QUERY}.lora_magnitude_vector", torch.ones(24), "with DoRA scales"),
    ],
)
def test_tensors_that_do_not_fit_are_named(file, wan, key, tensor, message):
    spoil(file, key, tensor)
    with pytest.raises(BuildError, match=message):
        load(file, wan)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(file, wan, value):
    key = "transformer.blocks.1.ffn.net.2.lora_B.weight"
    tensor = load_file(file)[key]
    tensor[3, 1] = value
    spoil(file, key, tensor)
    with pytest.raises(BuildError, match=r"blocks\.1\.ffn\.net\.2\.lora_B\.weight of .*lora"):
        load(file, wan)
    adapter = attach_trained(wan)
    with torch.no_grad():
        adapter.low_ranks["blocks.1.ffn.net.2"].up[0, 0] = value
    before = file.read_bytes()
    with pytest.raises(BuildError, match=r"blocks\.1\.ffn\.net\.2\.lora_B\.weight"):
        save(file, adapter, scheme="diffusers", facts=FACTS)
    assert file.read_bytes() == before


def test_files_that_are_no_lora_are_refused(tmp_path, wan):
    pickled, missing = tmp_path / "lora.pt", tmp_path / "nowhere.safetensors"
    torch.save({"transformer.blocks.0.attn1.to_q.lora_A.weight": torch.ones(4, 24)}, pickled)
    for path, got in (
        (pickled, "expected a safetensors file at .*: save the LoRA"),
        (missing, "expected .*nowhere.safetensors, got no such file"),
    ):
        with pytest.raises(BuildError, match=got):
            load(path, wan)
    checkpoint = tmp_path / "model.safetensors"
    save_file({"blocks.0.attn1.to_q.weight": torch.ones(2, 2)}, checkpoint)
    with pytest.raises(BuildError, match=r"keys such as .*, got .* blocks\.0\.attn1\.to_q\.weight"):
        load(checkpoint, wan)
    save_file({}, checkpoint)
    with pytest.raises(BuildError, match="no tensors"):
        load(checkpoint, wan)


def test_damaged_configuration_is_refused(file, wan):
    header = metadata_of(file)
    for text in ("{", "[1]"):
        save_file(load_file(file), file, metadata=header | {"lora_adapter_metadata": text})
        with pytest.raises(BuildError, match="JSON object as lora_adapter_metadata"):
            load(file, wan)


def test_schemes_that_cannot_name_a_layer_say_so(tmp_path, wan):
    path = tmp_path / "lora.safetensors"
    generator = torch.Generator().manual_seed(0)
    other = torch.nn.ModuleDict({"other": torch.nn.Linear(4, 4)})
    adapter = attach(other, rank=2, targets=("other",), generator=generator)
    with pytest.raises(ConfigError, match="got other: save it in the diffusers scheme"):
        save(path, adapter, scheme="comfyui", facts=FACTS)
    save(path, adapter, scheme="diffusers", facts=FACTS)
    again = torch.nn.ModuleDict({"other": torch.nn.Linear(4, 4)})
    assert list(load(path, again).low_ranks) == ["other"]
    with pytest.raises(ConfigError, match=r"scheme among .* got 'kohya'"):
        save(path, adapter, scheme="kohya", facts=FACTS)
