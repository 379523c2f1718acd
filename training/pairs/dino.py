"""DINO's ViT up to the keys of its last layer, with weights that the user brings.

Caron et al., "Emerging Properties in Self-Supervised Vision Transformers" (2021). The weights are
a state dict with the names of torch.hub's facebookresearch/dino, or an ONNX graph that takes
(1, 3, H, W) and gives the keys (1, S, D).

Legend: S tokens, one a patch and a class token first; D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from realmaster_live.errors import ConfigError
from realmaster_live.optional import require
from realmaster_live.training.pairs.structure import Descriptor, resized

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as DINO was trained
HEAD_WIDTH = 64  # of every DINO ViT
EPSILON = 1e-6  # of its layer norms
ONNX_PATCH = 16  # 8 divides it too


def load_dino(path: Path) -> Descriptor:
    """Return what describes a picture by DINO's keys; ConfigError where the file is another."""
    if not path.is_file():
        raise ConfigError(
            f"expected DINO's weights at {path}, got no file: download dino_vitbase8_pretrain.pth, "
            "or leave structure_model out"
        )
    return OnnxKeys(path) if path.suffix == ".onnx" else DinoKeys(_read(path))


class DinoKeys:
    """The keys of the last layer, all heads beside each other, by torch.

    Args:
        weights: names and tensors as torch.hub's models have them.
    """

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.weights = {name: tensor.float() for name, tensor in weights.items()}
        self.patch = self.weights["patch_embed.proj.weight"].shape[-1]
        self.width = self.weights["cls_token"].shape[-1]
        self.depth = 1 + max(int(x.split(".")[1]) for x in weights if x.startswith("blocks."))

    @torch.no_grad()
    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the keys (S, D) of a picture (H, W, 3)."""
        x = self._embed(torch.from_numpy(_normalised(picture, self.patch)))
        for index in range(self.depth):
            name = f"blocks.{index}"
            q, k, v = self._linear(self._norm(x, f"{name}.norm1"), f"{name}.attn.qkv").chunk(3, -1)
            if index == self.depth - 1:
                break
            mixed = F.scaled_dot_product_attention(_heads(q), _heads(k), _heads(v))
            mixed = mixed.transpose(1, 2).flatten(2)
            x = x + self._linear(mixed, f"{name}.attn.proj")
            inner = F.gelu(self._linear(self._norm(x, f"{name}.norm2"), f"{name}.mlp.fc1"))
            x = x + self._linear(inner, f"{name}.mlp.fc2")
        return np.asarray(k[0].numpy(), np.float32)

    def _embed(self, pixels: Tensor) -> Tensor:  # (1, 3, H, W) -> (1, S, D)
        w = self.weights
        patches = F.conv2d(
            pixels, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=self.patch
        )
        places = w["pos_embed"][:, 1:]
        side = round(places.shape[1] ** 0.5)
        grid = places.reshape(1, side, side, -1).permute(0, 3, 1, 2)
        if grid.shape[2:] != patches.shape[2:]:
            grid = F.interpolate(grid, size=patches.shape[2:], mode="bicubic")
        tokens = (patches + grid).flatten(2).transpose(1, 2)
        return torch.cat((w["cls_token"] + w["pos_embed"][:, :1], tokens), 1)

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str) -> Tensor:
        scale, shift = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return F.layer_norm(x, (self.width,), scale, shift, EPSILON)


class OnnxKeys:
    """The keys by an ONNX graph of one input and one output."""

    def __init__(self, path: Path) -> None:
        runtime = require("onnxruntime", extra="live")
        self.session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def __call__(self, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the keys (S, D) of a picture (H, W, 3)."""
        (keys,) = self.session.run(None, {self.input: _normalised(picture, ONNX_PATCH)})
        return np.asarray(keys[0], np.float32)


def _heads(x: Tensor) -> Tensor:  # (1, S, D) -> (1, heads, S, 64)
    return x.reshape(1, x.shape[1], -1, HEAD_WIDTH).transpose(1, 2)


def _normalised(picture: NDArray[np.uint8], patch: int) -> NDArray[np.float32]:  # (1, 3, H, W)
    small = resized(picture, patch).astype(np.float32) / 255
    normal = (small - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[None])


def _read(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a checkpoint of torch, without a prefix."""
    found = torch.load(path, map_location="cpu", weights_only=True)
    for inner in ("teacher", "state_dict"):  # of checkpoints that hold more than one network
        found = found.get(inner, found)
    weights = {
        name.removeprefix("module.").removeprefix("backbone."): t for name, t in found.items()
    }
    if not {"cls_token", "pos_embed", "patch_embed.proj.weight"} <= weights.keys():
        raise ConfigError(
            f"expected a ViT of facebookresearch/dino in {path}, got {', '.join(list(weights)[:3])}"
            ": give dino_vitbase8_pretrain.pth or one of its kind"
        )
    return weights
