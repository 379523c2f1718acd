import dataclasses
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_wan import answer_wan, make_wan

from realmaster_live.errors import BuildError, ConfigError
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.lora import attach
from realmaster_live.model.lora_facts import LoraFacts, check_base
from realmaster_live.model.lora_files import load, read_facts, save
from realmaster_live.model.profile import TINY, WAN_1_3B
from realmaster_live.training.latents import ropes

SCHEMES = ("diffusers", "comfyui", "musubi")
FIRST_KEYS = {
    "diffusers": "transformer.blocks.0.attn1.to_q.lora_A.weight",
    "comfyui": "diffusion_model.blocks.0.self_attn.q.lora_A.weight",
    "musubi": "lora_unet_blocks_0_self_attn_q.lora_down.weight",
}
TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2"]
FACTS = LoraFacts(
    base_model="Wan-AI/Wan2.2-T2V-A14B-Diffusers",
    base_sha256="a" * 64,
    licence="Apache-2.0",
    trigger="überreal street",
    expert="high_noise",
)


@torch.no_grad()
def answer(model: torch.nn.Module) -> torch.Tensor:
    return answer_wan(model)


def pipeline_of(transformer: torch.nn.Module):
    from diffusers import WanPipeline

    return WanPipeline(
        tokenizer=None, text_encoder=None, vae=None, scheduler=None, transformer=transformer
    )


def attach_trained(model: torch.nn.Module, rank: int = 4, alpha: float = 6.0):
    generator = torch.Generator().manual_seed(3)
    adapter = attach(model, rank=rank, alpha=alpha, generator=generator)
    with torch.no_grad():
        for low_rank in adapter.low_ranks.values():
            low_rank.up.copy_(0.1 * torch.randn(low_rank.up.shape, generator=generator))
    return adapter


def metadata_of(path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def written_by_diffusers(folder, config: dict, *, metadata: bool = True):
    """Let peft make an adapter with random weights and diffusers save it; return its answer too."""
    from diffusers import WanPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    model = make_wan()
    model.add_adapter(LoraConfig(**config))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    fields = model.peft_config["default"].to_dict() if metadata else None
    WanPipeline.save_lora_weights(
        folder,
        transformer_lora_layers=get_peft_model_state_dict(model),
        transformer_lora_adapter_metadata=fields,
    )
    return folder / "pytorch_lora_weights.safetensors", answer(model)


@pytest.fixture
def wan():
    return make_wan()


@pytest.fixture
def file(tmp_path, wan):
    """A file in the diffusers scheme."""
    path = tmp_path / "lora.safetensors"
    adapter = attach_trained(wan)
    save(path, adapter, scheme="diffusers", facts=FACTS)
    adapter.detach()
    return path


CONFIGS = {
    "alpha": dict(r=4, lora_alpha=6, target_modules=TARGETS),
    "few": dict(r=3, lora_alpha=3, target_modules=["attn1.to_q", "ffn.net.2"]),
    "patterns": dict(
        r=4,
        lora_alpha=6,
        target_modules=TARGETS,
        rank_pattern={"attn2.to_k": 2},
        alpha_pattern={"attn2.to_k": 5, "blocks.1.attn1.to_q": 1},
    ),
    "root": dict(r=4, lora_alpha=6, target_modules=TARGETS, use_rslora=True),
}


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
