"""Torch's parameter names in exported graphs: exchanging weights there equals exporting anew."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import numpy_helper

from realmaster_live.engines.export.export import example_graphs, round_weights
from realmaster_live.engines.program.plan_graphs import read_graph
from realmaster_live.engines.program.prepare import prepare_graphs, sizes_of
from realmaster_live.engines.program.weight_names import refit_weights, weight_names
from realmaster_live.errors import BuildError
from realmaster_live.model.checkpoint import load_checkpoint
from realmaster_live.model.lora import attach

NAMES = ("context", "denoise")
OF_PROMPTS = ("attn2.to_k", "attn2.to_v")
TARGETS = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")


@pytest.fixture(scope="module")
def graphs(tiny_model):
    return {name: read_graph(tiny_model / f"{name}.onnx") for name in NAMES}


@pytest.fixture
def networks(tiny_checkpoint):
    autoencoder, transformer = load_checkpoint(tiny_checkpoint)
    round_weights(transformer)
    return autoencoder, transformer


def values(transformer):
    return {name: tensor.numpy().copy() for name, tensor in transformer.state_dict().items()}


def test_every_layer_that_a_lora_changes_is_found(networks, graphs):
    _, transformer = networks
    names = weight_names(values(transformer), graphs)
    adapter = attach(transformer, rank=2, generator=torch.Generator().manual_seed(0))
    # a prompt's keys and values are computed when a model is exported
    layers = {name for name in adapter.low_ranks if not name.endswith(OF_PROMPTS)}
    assert len(layers) < len(adapter.low_ranks)
    assert {f"{layer}.weight" for layer in layers} <= names["denoise"].keys()
    assert len(names["context"]) < len(names["denoise"])


def test_exchanged_weights_compute_what_torch_computes(networks, graphs):
    autoencoder, transformer = networks
    names = weight_names(values(transformer), graphs)
    before = values(transformer)
    adapter = attach(
        transformer, rank=2, targets=TARGETS, generator=torch.Generator().manual_seed(0)
    )
    with torch.no_grad():
        for parameter in adapter.parameters():
            parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    adapter.merge()
    adapter.detach()
    after = values(transformer)
    changed = {k: v for k, v in after.items() if not np.array_equal(v, before[k])}
    assert len(changed) == len(adapter.low_ranks)
    examples = {each.name: each for each in example_graphs(autoencoder, transformer, 64, 96)}
    for graph, weights in refit_weights(names, changed).items():
        model = graphs[graph]
        for tensor in model.graph.initializer:
            if tensor.name in weights:
                tensor.CopyFrom(numpy_helper.from_array(weights[tensor.name], tensor.name))
        session = onnxruntime.InferenceSession(model.SerializeToString())
        example = examples[graph]
        got = session.run(None, {k: v.numpy() for k, v in example.inputs.items()})
        with torch.no_grad():
            expected = example.module(**example.inputs)
        expected = expected if isinstance(expected, tuple) else (expected,)
        for left, right in zip(got, expected, strict=True):
            assert np.abs(left - right.numpy()).max() < 1e-4


def test_a_shared_weight_is_not_exchanged_for_one_of_its_owners(networks, graphs):
    _, transformer = networks
    names = weight_names(values(transformer), graphs)
    ones = [name for name in names["denoise"] if name.endswith("norm_q.weight")]
    assert names["denoise"][ones[0]]["weight"] == names["denoise"][ones[1]]["weight"]
    new = np.full(transformer.profile.width, 2.0, np.float32)
    with pytest.raises(BuildError, match=r"which share a weight of .*, to stay equal"):
        refit_weights(names, {ones[0]: new})


def test_a_weight_that_is_not_there_is_refused(networks, graphs):
    names = weight_names(values(networks[1]), graphs)
    with pytest.raises(BuildError, match="expected parameter nowhere in the graph denoise"):
        refit_weights(names, {"nowhere": np.zeros(3, np.float32)})


def test_narrowed_weights_keep_their_place(tiny_model, networks, tmp_path):
    manifest = json.loads((tiny_model / "manifest.json").read_text())
    sizes = sizes_of(manifest, width=96, height=64, steps=2)
    prepared = prepare_graphs(
        tiny_model, tmp_path, sizes, precision="bf16", parameters=values(networks[1])
    )
    places = prepared.names["denoise"]
    assert places["blocks.0.attn1.to_q.weight"]["weight"].endswith(".bfloat16")
    time = "condition_embedder.time_embedder.linear_1.weight"
    assert not places[time]["weight"].endswith(".bfloat16")
