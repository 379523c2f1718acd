"""LoRA files as other tools and strangers make them: the right layers, or one sentence."""

import json
import os

import pytest
import torch
from damage import any_value, as_json, cases, changed, text
from safetensors.torch import save as serialize
from safetensors.torch import save_file
from tiny_wan import make_wan

from realmaster_live.errors import BuildError, ConfigError, RealMasterError
from realmaster_live.model.lora_config import CONFIG_KEY
from realmaster_live.model.lora_files import load, read_facts

GENERATOR = torch.Generator().manual_seed(0)
Q = "transformer.blocks.0.attn1.to_q"
COMFY = "diffusion_model.blocks.0.self_attn.q"
MUSUBI = "lora_unet_blocks_0_self_attn_q"


@pytest.fixture(scope="module")
def width(wan):
    return wan.blocks[0].attn1.to_q.in_features


@pytest.fixture(scope="module")
def wan():
    return make_wan()


def halves(stem, width, *, old=False, out=None, into=None):
    down, up = ("lora_down", "lora_up") if old else ("lora_A", "lora_B")
    return {
        f"{stem}.{down}.weight": torch.randn(4, into or width, generator=GENERATOR),
        f"{stem}.{up}.weight": torch.randn(out or width, 4, generator=GENERATOR),
    }


def write(path, tensors, config=None, header=None):
    header = dict(header or {})
    if config is not None:
        header[CONFIG_KEY] = config if isinstance(config, str) else json.dumps(config)
    save_file({key: value.contiguous() for key, value in tensors.items()}, path, header or None)
    return path


def test_other_spellings_name_the_same_layer(tmp_path, width):
    spelled = {
        "plain": halves(Q, width),
        "bare": halves(Q.removeprefix("transformer."), width),
        "peft": halves(Q.replace("transformer.", "base_model.model."), width),
        "swarm": halves(MUSUBI.replace("lora_unet_", "lora_unet__"), width, old=True),
        "pixel": {k: v[..., None, None] for k, v in halves(MUSUBI, width, old=True).items()},
        "half": {k: v.bfloat16() for k, v in halves(Q, width).items()},
        "adapter": {
            k.replace(".weight", ".default.weight"): v
            for k, v in halves(COMFY.removeprefix("diffusion_model."), width).items()
        },
        "nested": halves(COMFY.replace("diffusion_model", "model.diffusion_model"), width),
        "original": halves(COMFY.replace("diffusion_model.", "base_model.model."), width),
        "swapped": halves(COMFY.replace("diffusion_model.", "transformer."), width, old=True),
    }
    (tmp_path / "adapter_config.json").write_text(json.dumps({"lora_alpha": 8}), "utf-8-sig")
    for name, tensors in spelled.items():
        adapter = load(write(tmp_path / f"{name}.safetensors", tensors), make_wan())
        assert list(adapter.low_ranks) == ["blocks.0.attn1.to_q"]
        low_rank = adapter.low_ranks["blocks.0.attn1.to_q"]
        assert low_rank.alpha == (8 if name in ("peft", "original") else 4)
        for half, stored in zip((low_rank.down, low_rank.up), tensors.values(), strict=True):
            assert torch.equal(half, stored.float().flatten(1))


def test_peft_weights_without_their_configuration_have_the_scale_one(tmp_path, wan, width, caplog):
    tensors = halves(Q.replace("transformer.", "base_model.model."), width)
    path = write(tmp_path / "adapter_model.safetensors", tensors)
    adapter = load(path, wan)
    assert adapter.low_ranks["blocks.0.attn1.to_q"].alpha == 4  # its rank
    adapter.detach()
    (told,) = caplog.messages
    assert told.startswith("no adapter_config.json beside") and "alpha" in told
    (tmp_path / "adapter_config.json").write_text('{"lora_alpha": 8')
    with pytest.raises(BuildError, match=r"adapter_config\.json, got .*: copy it again, or take"):
        load(path, wan)


def test_peft_weights_with_their_scale_inside_need_no_configuration(tmp_path, wan, width):
    stem = Q.replace("transformer.", "base_model.model.")
    tensors = halves(stem, width) | {f"{stem}.alpha": torch.tensor(2.0)}
    adapter = load(write(tmp_path / "adapter_model.safetensors", tensors), wan)
    assert adapter.low_ranks["blocks.0.attn1.to_q"].alpha == 2.0
    adapter.detach()


def test_layers_outside_the_blocks_are_adapted(tmp_path):
    wan = make_wan()
    layers = {
        "head.head": wan.proj_out,
        "time_embedding.0": wan.condition_embedder.time_embedder.linear_1,
        "time_embedding.2": wan.condition_embedder.time_embedder.linear_2,
        "time_projection.1": wan.condition_embedder.time_proj,
        "text_embedding.0": wan.condition_embedder.text_embedder.linear_1,
        "text_embedding.2": wan.condition_embedder.text_embedder.linear_2,
    }
    tensors = {}
    for name, layer in layers.items():
        stem = f"diffusion_model.{name}"
        tensors |= halves(stem, 0, out=layer.out_features, into=layer.in_features)
    adapter = load(write(tmp_path / "l.safetensors", tensors), wan)
    names = {
        name for name, each in wan.named_modules() if any(each is one for one in layers.values())
    }
    assert set(adapter.low_ranks) == names


EXTRAS = {
    "DoRA scales": [
        f"{MUSUBI}.dora_scale",
        f"{Q}.lora_magnitude_vector",
        f"{Q}.lora_magnitude_vector.weight",
    ],
    "LoKr factors": [f"{MUSUBI}.lokr_w1"],
    "LoHa factors": [f"{MUSUBI}.hada_w1_a"],
    "OFT rotations": [f"{MUSUBI}.oft_blocks"],
    "LoCon's middle factors": [f"{MUSUBI}.lora_mid.weight"],
    "changed biases": [f"{COMFY}.diff_b"],
    "changed weights": [f"{COMFY.replace('.q', '.norm_q')}.diff"],
    "layers for a picture": ["diffusion_model.blocks.0.cross_attn.k_img.lora_A.weight"],
    "layers of a text encoder": ["lora_te_text_model_q.lora_down.weight"],
}


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("kind", EXTRAS)
def test_what_is_no_plain_lora_is_named(kind, alone, tmp_path, wan, width, caplog):
    for key in EXTRAS[kind]:
        stem = Q if key.startswith("transformer") else COMFY if "diffusion" in key else MUSUBI
        tensors = {} if alone else halves(stem, width, old=stem == MUSUBI)
        path = write(tmp_path / "l.safetensors", {**tensors, key: torch.ones(4)})
        with pytest.raises(BuildError, match=f"with {kind} .*not supported.*ignore-unsupported"):
            load(path, wan)
        if alone:
            with pytest.raises(BuildError, match=r"got .* with no tensors"):
                load(path, wan, ignore_unsupported=True)
            continue
        with caplog.at_level("WARNING"):
            adapter = load(path, wan, ignore_unsupported=True)
        assert kind in caplog.text
        assert list(adapter.low_ranks) == ["blocks.0.attn1.to_q"]
        adapter.detach()


def test_dora_in_the_header_is_named(tmp_path, wan, width):
    path = write(tmp_path / "l.safetensors", halves(Q, width), {"transformer.use_dora": True})
    with pytest.raises(BuildError, match="with DoRA scales"):
        load(path, wan)


CONFIGS = {
    "text": ({"lora_alpha": "8"}, "as lora_alpha"),
    "list": ({"lora_alpha": [8]}, "as lora_alpha"),
    "true": ({"lora_alpha": True}, "as lora_alpha"),
    "huge": ('{"lora_alpha": 1e400}', "as lora_alpha"),
    "infinite": ('{"lora_alpha": Infinity}', "as lora_alpha"),
    "nan": ('{"lora_alpha": NaN}', "as lora_alpha"),
    "digits": ('{"lora_alpha": 1' + "0" * 400 + "}", "as lora_alpha"),
    "pattern list": ({"alpha_pattern": ["to_q"]}, "as alpha_pattern"),
    "pattern text": ({"alpha_pattern": {"to_q": "x"}}, "as alpha_pattern.to_q"),
    "broken": ({"alpha_pattern": {"(to_q": 4}}, "as alpha_pattern"),
    "slow": ({"alpha_pattern": {"((a|b|.)+)+x": 4}}, "repeated groups"),
    "long": ({"alpha_pattern": {"to_q|" * 100: 4}}, "a long one"),
    "array": ("[1]", "a list"),
    "cut": ('{"lora_alpha": ', "as lora_adapter_metadata"),
    "deep": ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_wrong_configuration_ends_in_one_sentence(name, tmp_path, wan, width):
    config, message = CONFIGS[name]
    if isinstance(config, dict):
        config = {f"transformer.{key}": value for key, value in config.items()}
    elif config.startswith("{"):
        config = config.replace("lora_alpha", "transformer.lora_alpha")
    path = write(tmp_path / "l.safetensors", halves(Q, width), config)
    with pytest.raises(BuildError, match=message) as caught:
        load(path, wan)
    assert len(str(caught.value)) < 700


def test_peft_patterns_name_layers(tmp_path, width):
    config = {"lora_alpha": 2, "alpha_pattern": {r"blocks\.\d+\.attn1\.to_q": 6, "to_k": 9}}
    config = {f"transformer.{key}": value for key, value in config.items()}
    tensors = halves(Q, width) | halves(Q.replace("to_q", "to_k"), width)
    tensors |= halves(Q.replace("to_q", "to_v"), width)
    adapter = load(write(tmp_path / "l.safetensors", tensors, config), make_wan())
    assert [each.alpha for each in adapter.low_ranks.values()] == [6, 9, 2]


PLACED = {
    "a Git LFS pointer: run git lfs pull": b"version https://git-lfs.github.com/spec/v1\nsize 4\n",
    "an HTML page: download the file itself": b"\n<!DOCTYPE html><html>404</html>",
    "an empty file": b"",
}


@pytest.mark.parametrize("got", PLACED)
def test_what_lies_in_place_of_a_lora_is_named(got, tmp_path):
    (tmp_path / "l.safetensors").write_bytes(PLACED[got])
    with pytest.raises(BuildError, match=f"got {got}"):
        read_facts(tmp_path / "l.safetensors")


def test_a_fifo_or_a_name_of_other_bytes_is_refused(tmp_path, wan, width):
    os.mkfifo(tmp_path / "fifo.safetensors")
    with pytest.raises(BuildError, match="got a FIFO"):
        load(tmp_path / "fifo.safetensors", wan)
    write(tmp_path / "l.safetensors", halves(Q, width)).rename(tmp_path / "K\udcf6ln.safetensors")
    with pytest.raises(BuildError, match="expected a path in UTF-8"):
        load(tmp_path / "K\udcf6ln.safetensors", wan)


def test_complex_numbers_are_refused(tmp_path, wan, width):
    tensors = {key: value.to(torch.complex64) for key, value in halves(Q, width).items()}
    with pytest.raises(BuildError, match=r"expected real numbers, got torch\.complex64"):
        load(write(tmp_path / "l.safetensors", tensors), wan)


def loaded(path, content, model):
    """Load a file of these bytes; return whether it was refused, in one sentence."""
    path.write_bytes(content)
    try:
        load(path, model).detach()
    except RealMasterError as error:
        assert isinstance(error, BuildError | ConfigError)
        assert "expected" in str(error)
        assert "\n" not in str(error)
        return True
    return False


FACTS = ["base_model", "licence", "reference_downscale_factor", "positions", "expert", "x"]
CONFIG = ["lora_alpha", "alpha_pattern", "use_rslora", "use_dora", "r"]
PATTERNS = ["to_q", ".*", "(a+)+", "blocks.0", "("]


@pytest.fixture
def load_odd(tmp_path, wan, width):
    """The function that loads a file of any header, and returns whether it was refused."""
    tensors = halves(Q, width)

    def words(content):
        return content.decode("utf-8", "replace")

    def check(rng):
        header = {key: text(rng) for key in FACTS if rng.randrange(3) == 0}
        config = {
            f"transformer.{key}": any_value(rng, PATTERNS)
            for key in CONFIG
            if rng.randrange(4) == 0
        }
        if rng.randrange(8):
            header[CONFIG_KEY] = words(as_json(config))
        content = serialize(tensors, metadata=header or None)
        end = 8 + int.from_bytes(content[:8], "little")
        if rng.randrange(3) == 0:  # of the header: most of the file are weights
            content = changed(rng, content[:end]) + content[end:]
        elif rng.randrange(3) == 0:
            content = changed(rng, content)
        return loaded(tmp_path / "l.safetensors", content, wan)

    return check


@cases(few=60, many=5_000)
def test_any_header(fuzz, load_odd):
    fuzz("LoRA files", load_odd)
