import dataclasses
import hashlib
import json
import shutil

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file
from street import make_chunk

from realmaster_live.cli import main
from realmaster_live.engines.export.export import (
    TOLERANCE,
    answers,
    check_parity,
    export,
    parity,
    round_weights,
)
from realmaster_live.engines.export.graphs import OPSET, example_graphs
from realmaster_live.engines.export.restore import makes_prompts, restore
from realmaster_live.engines.manifest import WEIGHTS_FILE
from realmaster_live.engines.onnx_engine import OnnxEngine
from realmaster_live.engines.program.weight_file import WeightFile
from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.errors import BuildError
from realmaster_live.model.checkpoint import load_checkpoint, save_checkpoint
from realmaster_live.model.profile import TINY
from realmaster_live.model.random_weights import random_networks

NAMES = ("encode", "context", "denoise", "decode")


@pytest.fixture(scope="module")
def graphs(tiny_model):
    return {name: onnx.load(tiny_model / f"{name}.onnx") for name in NAMES}


def test_opset_and_operations(graphs):
    for name, model in graphs.items():
        assert {entry.domain: entry.version for entry in model.opset_import}[""] == OPSET == 23
        kinds = [node.op_type for node in model.graph.node]
        assert "ScatterND" not in kinds, name
    passes = [node.op_type for node in graphs["denoise"].graph.node]
    assert passes.count("Attention") == 2 * TINY.layers  # in each block one over the prompt
    # three rotations a block: queries, own keys, the past's keys
    assert passes.count("RotaryEmbedding") == 3 * TINY.layers


def test_states_are_inputs_and_outputs(graphs):
    sides = {
        name: (
            [value.name for value in model.graph.input],
            [value.name for value in model.graph.output],
        )
        for name, model in graphs.items()
    }
    assert sides["encode"] == (["frames", "memory", "light"], ["guide", "latent", "next_memory"])
    assert sides["context"] == (["reference", "cos", "sin", "prompt_kv"], ["reference_kv"])
    assert sides["denoise"][1] == ["x0", "target_kv"]
    inputs = ["latent", "memory", "guide", "noise", "geometry"]
    assert sides["decode"] == (inputs, ["frames", "next_memory"])


def test_weights_are_float16_once(tiny_model):
    stored = set()
    total = 0
    for name in NAMES:
        model = onnx.load(tiny_model / f"{name}.onnx", load_external_data=False)
        for tensor in model.graph.initializer:
            entry = {item.key: item.value for item in tensor.external_data}
            if entry:
                assert tensor.data_type == onnx.TensorProto.FLOAT16
                assert entry["location"] == WEIGHTS_FILE
                total += int(entry["length"])
                stored.add((entry["offset"], entry["length"]))
    distinct = sum(int(length) for _, length in stored)
    assert 0 < distinct < total  # context and denoise share the transformer


def test_manifest(tiny_model):
    manifest = json.loads((tiny_model / "manifest.json").read_text())
    for name, entry in manifest["files"].items():
        data = (tiny_model / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    assert manifest["sigmas"]["2"] == pytest.approx([1.0, 5 / 6, 0.0])
    assert manifest["profile"]["name"] == "tiny"
    assert manifest["trained_on"] == {"data": "none: random weights"}
    assert manifest["parity"]["denoise.x0"] <= TOLERANCE


@pytest.mark.parametrize(("height", "width"), [(64, 96), (96, 64), (32, 160)])
def test_parity_at_other_sizes(tiny_checkpoint, tiny_model, height, width):
    autoencoder, transformer = load_checkpoint(tiny_checkpoint)
    round_weights(autoencoder)
    round_weights(transformer)
    figures = parity(
        answers(example_graphs(autoencoder, transformer, height, width, 5)), tiny_model
    )
    assert figures.pop("decode.frames") <= 1.0
    assert max(figures.values()) < 1e-4


def test_rounding_to_float16_changes_little(tiny_checkpoint, tiny_model):
    exact = parity(answers(example_graphs(*load_checkpoint(tiny_checkpoint), 64, 96)), tiny_model)
    assert 0.0 < exact["denoise.x0"] < 0.02
    assert exact["decode.frames"] <= 2.0


def test_other_weights_fail_the_parity_gate(tiny_checkpoint, tiny_model, tmp_path):
    shutil.copytree(tiny_checkpoint, tmp_path / "other")
    path = tmp_path / "other" / "transformer.safetensors"
    tensors = load_file(path)
    tensors["proj_out.bias"] = tensors["proj_out.bias"] + 0.5
    save_file(tensors, path)
    figures = parity(
        answers(example_graphs(*load_checkpoint(tmp_path / "other"), 64, 96)), tiny_model
    )
    with pytest.raises(BuildError, match=r"denoise\.x0"):
        check_parity(figures)


def test_nan_fails_the_parity_gate():
    with pytest.raises(BuildError, match="nan"):
        check_parity({"context.reference_kv": float("nan")})


def test_same_bytes_are_stored_once(tmp_path):
    path = tmp_path / "weights.bin"
    with WeightFile(path) as weights:
        first = weights.place(b"abc")
        assert weights.place(b"xyz") != first
        assert weights.place(b"abc") == first
        offset, length = weights.place(b"xyz")
    assert path.read_bytes()[offset : offset + length] == b"xyz"


def test_round_weights_keeps_small_tensors():
    module = torch.nn.Linear(64, 64)
    with torch.no_grad():
        module.weight.fill_(1.0 + 2.0**-12)
        module.bias.fill_(1.0 + 2.0**-12)
    round_weights(module)
    assert module.weight.unique().item() == 1.0
    assert np.isclose(module.bias.unique().item(), 1.0 + 2.0**-12)


@pytest.mark.slow
def test_command_line_exports_a_checkpoint(tiny_checkpoint, tmp_path, capsys):
    assert main(["export", str(tiny_checkpoint), "--out", str(tmp_path / "out")]) == 0
    assert "7 files" in capsys.readouterr().out
    assert (tmp_path / "out" / "manifest.json").is_file()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_not_exported(tiny_checkpoint, tmp_path, value):
    shutil.copytree(tiny_checkpoint, tmp_path / "bad")
    path = tmp_path / "bad" / "transformer.safetensors"
    tensors = load_file(path)
    tensors["blocks.1.ffn.net.2.bias"][3] = value
    save_file(tensors, path)
    with pytest.raises(
        BuildError, match=r"got 1 of 48 .* transformer\.blocks\.1\.ffn\.net\.2\.bias"
    ):
        export(tmp_path / "bad", tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.slow
def test_one_step_from_the_render_runs_without_torch(tmp_path):
    """The export has no graph of the reference, and answers as torch does."""
    profile = dataclasses.replace(
        TINY, flow_from="render", prediction="velocity", steps=1, ring=0, falling=False
    )
    networks = random_networks(profile, torch.device("cpu"))
    with torch.no_grad():
        for parameter in (each for network in networks for each in network.parameters()):
            parameter.add_(0.01 * torch.randn(parameter.shape))  # equal ones would be stored once
    save_checkpoint(tmp_path / "model", *networks)
    manifest = export(tmp_path / "model", tmp_path / "out", height=64, width=96)
    assert "context.onnx" not in manifest["files"]
    size = {"width": 96, "height": 64, "threads": 1}
    with (
        OnnxEngine(tmp_path / "out", **size) as ours,
        TorchEngine(tmp_path / "model", **size) as theirs,
    ):
        for index in range(3):
            chunk = make_chunk(index)
            one, other = (each.realize(chunk).frames.astype(int) for each in (ours, theirs))
            assert np.abs(one - other).max() <= 1
    wanted = load_checkpoint(tmp_path / "model")[1].state_dict()
    wanted["stream_embedding"][0] = 0  # the mark of reference tokens, of which there are none
    for name, value in restore(tmp_path / "out")[1].state_dict().items():
        if not makes_prompts(name):
            torch.testing.assert_close(value, wanted[name], atol=1e-3, rtol=1e-2, msg=name)
