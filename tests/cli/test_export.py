"""One command, every form: what is read back is the same network, with its licence and base."""

import json

import numpy as np
import pytest
import torch
from latent_clips import write_base
from safetensors import safe_open

from realmaster_live.cli import main
from realmaster_live.engines.onnx_engine import OnnxEngine
from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.frames.chunk import Chunk
from realmaster_live.model.checkpoint import load_checkpoint
from realmaster_live.model.lora import attach
from realmaster_live.model.lora_facts import LoraFacts
from realmaster_live.model.lora_files import load, read_facts, save
from realmaster_live.model.tensor_files import hash_tensors, stored_tensors
from realmaster_live.system.contents import sha256_of

HEIGHT, WIDTH = 64, 96
LICENCE = "CC-BY-4.0"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = write_base(tmp_path_factory.mktemp("base"), seed=5)
    facts = {"data": "none: random weights", "licence": "Apache-2.0"}
    (folder / "facts.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory, base):
    _, network = load_checkpoint(base)
    generator = torch.Generator().manual_seed(2)
    made = attach(network, rank=3, alpha=6.0, generator=generator)
    with torch.no_grad():
        for low_rank in made.low_ranks.values():
            low_rank.up.normal_(std=0.1, generator=generator)
    path = tmp_path_factory.mktemp("adapter") / "look.safetensors"
    base_sha256 = hash_tensors(stored_tensors(base / "transformer.safetensors"))
    facts = LoraFacts(base_model="tiny", base_sha256=base_sha256, licence=LICENCE, trigger="a look")
    save(path, made, scheme="diffusers", facts=facts)
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory, base, adapter):
    out = tmp_path_factory.mktemp("exported")
    command = ["export", str(base), "--adapter", str(adapter), "--out", str(out)]
    assert main([*command, "--to", "checkpoint,lora"]) == 0
    return out


@pytest.fixture(scope="module")
def everything(tmp_path_factory, base, adapter):
    """All forms in one go."""
    out = tmp_path_factory.mktemp("everything")
    command = ["export", str(base), "--adapter", str(adapter), "--out", str(out)]
    assert main([*command, "--to", "checkpoint,lora,onnx"]) == 0
    return out


def attached(base, path):
    _, network = load_checkpoint(base)
    return network, load(path, network)


def answer(network):
    """What a network says of a chunk: context, denoise and its keys."""
    from realmaster_live.training.latents import ropes

    generator = torch.Generator().manual_seed(3)
    reference, x_t = torch.randn(2, 1, 8, 4, 6, generator=generator)
    rope, nothing = ropes(network.profile, 2, 3), ropes(network.profile, 2, 3, ())
    prompt = network.prompt(network.prompt_embedding[1:2])
    with torch.no_grad():
        context = network.context(reference, rope, prompt)
        t = torch.tensor([0.7])
        return network.denoise(
            x_t, t, reference, context, context[..., :0, :], rope, nothing, prompt
        )


def test_the_merged_checkpoint_answers_as_the_attached_adapter(base, adapter, exported):
    _, merged = load_checkpoint(exported / "checkpoint")
    network, _ = attached(base, adapter)
    _, plain = load_checkpoint(base)
    for got, wanted in zip(answer(merged), answer(network), strict=True):
        torch.testing.assert_close(got, wanted, atol=2e-5, rtol=1e-4)
    assert (answer(merged)[0] - answer(plain)[0]).abs().max() > 0.05  # the adapter has a say


@pytest.mark.parametrize("scheme", ["diffusers", "comfyui", "musubi"])
def test_lora_files_of_every_scheme_give_the_same_network(scheme, base, adapter, exported):
    path = exported / "lora" / f"look.{scheme}.safetensors"
    network, again = attached(base, path)
    original, first = attached(base, adapter)
    assert again.low_ranks.keys() == first.low_ranks.keys()
    for name, low_rank in again.low_ranks.items():
        assert low_rank.alpha == 6.0
        assert torch.equal(low_rank.down, first.low_ranks[name].down)
        assert torch.equal(low_rank.up, first.low_ranks[name].up)
    for got, wanted in zip(answer(network), answer(original), strict=True):
        assert torch.equal(got, wanted)


def chunk(index):
    small = np.random.default_rng(index).integers(0, 256, (4, HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    frame_ids = np.arange(4) + 4 * index
    return Chunk(
        index=index,
        camera="front",
        frames=small.repeat(8, 1).repeat(8, 2),
        frame_ids=frame_ids,
        timestamps=frame_ids / 20.0,
        captured_at=np.zeros(4),
        intrinsics=np.eye(3),
        cam_to_world=np.tile(np.eye(4), (4, 1, 1)),
        labels={},
    )


@pytest.mark.slow
def test_the_graphs_answer_as_torch_with_the_adapter(base, adapter, everything):
    frames = []
    for engine in (
        TorchEngine(base, width=WIDTH, height=HEIGHT, adapter=adapter),
        OnnxEngine(everything / "onnx", width=WIDTH, height=HEIGHT),
    ):
        with engine:
            frames.append(
                np.concatenate([engine.realize(chunk(i)).frames for i in range(3)]).astype(int)
            )
    difference = np.abs(frames[0] - frames[1])
    assert difference.mean() < 0.5 and difference.max() <= 8  # levels: weights are float16


def test_licence_and_base_are_in_the_checkpoint_and_the_lora_files(base, adapter, exported):
    base_sha256 = hash_tensors(stored_tensors(base / "transformer.safetensors"))
    facts = json.loads((exported / "checkpoint" / "facts.json").read_text())
    assert (facts["licence"], facts["base_sha256"]) == (LICENCE, base_sha256)
    assert facts["adapter"]["sha256"] == sha256_of(adapter)
    for path in (exported / "lora").iterdir():
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
        assert (header["licence"], header["base_sha256"]) == (LICENCE, base_sha256)
        assert read_facts(path).trigger == "a look"


@pytest.mark.slow
def test_licence_and_facts_are_in_the_manifest_of_the_graphs(everything):
    facts = json.loads((everything / "checkpoint" / "facts.json").read_text())
    manifest = json.loads((everything / "onnx" / "manifest.json").read_text())
    assert manifest["licence"] == LICENCE
    assert manifest["trained_on"] == facts


def test_one_form_goes_straight_into_the_folder_at_any_strength(base, adapter, tmp_path):
    command = ["export", str(base), "--adapter", str(adapter), "--to", "checkpoint"]
    assert main([*command, "--out", str(tmp_path), "--strength", "0"]) == 0
    assert (tmp_path / "transformer.safetensors").exists()
    assert not (tmp_path / "checkpoint").exists()
    for got, wanted in zip(load_checkpoint(tmp_path), load_checkpoint(base), strict=True):
        for name, tensor in got.state_dict().items():
            assert torch.equal(tensor, wanted.state_dict()[name]), name


def test_other_weights_than_the_adapters_are_refused(adapter, tmp_path, capsys):
    other = write_base(tmp_path / "other", seed=6)
    command = ["export", str(other), "--adapter", str(adapter), "--out", str(tmp_path / "out")]
    assert main([*command, "--to", "checkpoint,lora"]) == 1
    assert "was trained on, of tiny" in capsys.readouterr().err


def test_wrong_uses_are_reported_before_anything_is_written(base, tmp_path, capsys):
    command = ["export", str(base), "--out", str(tmp_path / "out")]
    assert main([*command, "--to", "onnx,diffusers"]) == 2
    assert "expected forms among checkpoint, lora, onnx, got diffusers" in capsys.readouterr().err
    assert main([*command, "--to", "checkpoint,lora"]) == 2
    assert "expected --adapter FILE" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
