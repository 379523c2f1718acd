"""DINO's keys, against another implementation of the same network, and from a file."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from panned_scene import photoreal, scene

from realmaster_live.errors import ConfigError
from realmaster_live.training.pairs.dino import MEAN, STD, DinoKeys, load_dino
from realmaster_live.training.pairs.gate import GateConfig, load_networks, measure
from realmaster_live.training.pairs.structure import resized

WIDTH, DEPTH, PATCH, SIDE = 128, 3, 16, 224


@pytest.fixture(scope="module")
def vit():
    """A ViT of random weights by transformers."""
    from transformers import ViTConfig, ViTModel

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=2,
        intermediate_size=4 * WIDTH, patch_size=PATCH, image_size=SIDE, layer_norm_eps=1e-6,
        initializer_range=0.2,
    )  # fmt: skip
    model = ViTModel(config, add_pooling_layer=False).eval()
    torch.nn.init.normal_(model.embeddings.position_embeddings)
    return model


def hub_names(vit) -> dict[str, torch.Tensor]:
    """Return the weights by the names that torch.hub's models have."""
    state = vit.state_dict()

    def both(there, here):
        return {f"{there}.{part}": state[f"{here}.{part}"] for part in ("weight", "bias")}

    weights = {
        "cls_token": state["embeddings.cls_token"],
        "pos_embed": state["embeddings.position_embeddings"],
        **both("patch_embed.proj", "embeddings.patch_embeddings.projection"),
        **both("norm", "layernorm"),
    }
    for index in range(DEPTH):
        layer, block = f"layers.{index}", f"blocks.{index}"
        for part in ("weight", "bias"):
            qkv = [state[f"{layer}.attention.{x}_proj.{part}"] for x in "qkv"]
            weights[f"{block}.attn.qkv.{part}"] = torch.cat(qkv)
        weights |= both(f"{block}.attn.proj", f"{layer}.attention.o_proj")
        weights |= both(f"{block}.norm1", f"{layer}.layernorm_before")
        weights |= both(f"{block}.norm2", f"{layer}.layernorm_after")
        weights |= both(f"{block}.mlp.fc1", f"{layer}.mlp.fc1")
        weights |= both(f"{block}.mlp.fc2", f"{layer}.mlp.fc2")
    return weights


def test_keys_are_those_of_another_implementation(vit):
    picture = scene(1)[0, :, :128]  # square: no position is resampled
    keys = {}
    last = vit.get_submodule(f"layers.{DEPTH - 1}.attention.k_proj")
    hook = last.register_forward_hook(lambda module, args, out: keys.update(last=out))
    pixels = resized(picture, PATCH).astype(np.float32) / 255
    pixels = (pixels - np.float32(MEAN)) / np.float32(STD)
    with torch.no_grad():
        vit(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    hook.remove()
    ours = DinoKeys(hub_names(vit))(picture)
    assert ours.shape == (1 + 14 * 14, WIDTH)
    np.testing.assert_allclose(ours, keys["last"][0].numpy(), atol=2e-3, rtol=1e-3)


def test_wide_pictures_have_more_tokens(vit):
    keys = DinoKeys(hub_names(vit))(scene(1)[0])
    assert keys.shape == (1 + 14 * 21, WIDTH)


def test_weights_come_from_a_file_and_the_gate_names_the_figure(vit, tmp_path):
    path = tmp_path / "dino.pth"
    torch.save({"teacher": {f"backbone.{k}": v for k, v in hub_names(vit).items()}}, path)
    picture = scene(1)[0]
    np.testing.assert_array_equal(load_dino(path)(picture), DinoKeys(hub_names(vit))(picture))
    config = GateConfig(structure_model=str(path), max_dino_structure=1e-9, samples=2)
    source = scene(1)
    figures = measure(source, photoreal(source), config, load_networks(config))
    assert figures["dino_structure"] > 0
    assert "gradient_structure" not in figures, "what stands in for DINO is not called DINO"


def test_other_files_are_reported(tmp_path):
    with pytest.raises(ConfigError, match="got no file"):
        load_dino(tmp_path / "nowhere.pth")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ConfigError, match=r"a ViT of facebookresearch/dino .* got weight"):
        load_dino(tmp_path / "other.pth")


def test_keys_by_onnx(tmp_path):
    """A graph whose keys are the mean colours of patches of 16 pixels."""
    nodes = [
        helper.make_node("AveragePool", ["x"], ["a"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Reshape", ["a", "shape"], ["b"]),
        helper.make_node("Transpose", ["b"], ["keys"], perm=[0, 2, 1]),
    ]
    floats = TensorProto.FLOAT
    graph = helper.make_graph(
        nodes, "keys",
        [helper.make_tensor_value_info("x", floats, [1, 3, None, None])],
        [helper.make_tensor_value_info("keys", floats, [1, None, 3])],
        [helper.make_tensor("shape", TensorProto.INT64, [3], [0, 0, -1])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "keys.onnx")
    picture = np.full((224, 224, 3), (255, 0, 127), np.uint8)
    keys = load_dino(tmp_path / "keys.onnx")(picture)
    assert keys.shape == (196, 3)
    colour = np.array([1, 0, 127 / 255])
    np.testing.assert_allclose(keys[0], (colour - MEAN) / STD, atol=1e-4)
