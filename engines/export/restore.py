"""Restores the networks of an export, so that training can go on from weights that were shipped.

An export holds the weights of its graphs, but a prompt only as the keys and values that every block
attends to. What makes them (embeddings, text embedder, and the layers of keys and values) is
solved for: the restored networks make the same ones. Weights of int8 keep their rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor

from realmaster_live.engines.manifest import graphs_of, read_manifest, read_prompts
from realmaster_live.engines.program.weight_file import HALF_SUFFIX
from realmaster_live.errors import BuildError
from realmaster_live.model.checkpoint import load_into
from realmaster_live.model.dit import Block, InContextTransformer
from realmaster_live.model.profile import Profile
from realmaster_live.model.vae import StreamingAutoencoder, in_present_form

STREAMS = ("context", "denoise")  # the graphs of reference and target
PRODUCTS = ("MatMul", "MatMulInteger")
BETWEEN = ("Cast", "Mul")  # what scales an integer product, before its bias is added
PAIRS_TOLERANCE = 1e-3
Arrays = dict[str, NDArray[np.float32]]


class Initializers:
    """The weights of one graph by the names that its nodes know them by, as float32."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._stored = {each.name: each for each in model.graph.initializer}

    def __contains__(self, name: str) -> bool:
        """Return whether the graph holds this tensor, in any precision."""
        return self._place(name) is not None or f"{name}_quantized" in self._stored

    def _place(self, name: str) -> str | None:
        return next((n for n in (name, f"{name}{HALF_SUFFIX}") if n in self._stored), None)

    def names(self) -> list[str]:
        """Return the names of all tensors, without what precision adds to them."""
        return [name.removesuffix(HALF_SUFFIX).removesuffix("_quantized") for name in self._stored]

    def read(self, name: str) -> NDArray[np.float32]:
        """Return a tensor; one of integers is scaled along its outputs."""
        place = self._place(name)
        if place is not None:
            return np.asarray(numpy_helper.to_array(self._stored[place]), np.float32)
        levels = numpy_helper.to_array(self._stored[f"{name}_quantized"]).astype(np.float32)
        prefix = name if self._place(f"{name}_scale") else f"{name}_quantized"
        scale, zero = (self.read(f"{prefix}_{what}").ravel() for what in ("scale", "zero_point"))
        outputs = (1, -1) if levels.ndim == 2 else (-1, *(1,) * (levels.ndim - 1))
        return np.asarray((levels - zero.reshape(outputs)) * scale.reshape(outputs), np.float32)


def weights_of(model: onnx.ModelProto) -> Arrays:
    """Return a graph's weights by the names of the networks' parameters.

    The exporter keeps the names of biases, and renames the weights of linear layers: each is found
    by the bias that is added to its product.
    """
    held = Initializers(model)
    found = {
        name: held.read(name)
        for name in held.names()
        if name.startswith(("autoencoder.", "transformer."))
        and not name.endswith(("_scale", "_zero_point"))
    }
    users: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for node in model.graph.node:
        if node.op_type in PRODUCTS:
            name = node.input[1].removesuffix("_quantized")
            after = users.get(node.output[0], [])
            while after and after[0].op_type in BETWEEN:
                after = users.get(after[0].output[0], [])
            biases = [n for n in after[0].input if n.endswith(".bias")] if after else []
            if name in held and biases:
                found[biases[0].removesuffix("bias") + "weight"] = held.read(name).T
    return found


def statistics_of(encode: onnx.ModelProto) -> Arrays:
    """Return the latents' mean and deviation, which the encoder ends with."""
    held = Initializers(encode)
    kinds = {"Sub": "latents_mean", "Div": "latents_std"}
    values = {
        kinds[node.op_type]: held.read(node.input[1])
        for node in encode.graph.node
        if node.op_type in kinds and node.input[1] in held
    }
    return {f"autoencoder.{k}": value.ravel() for k, value in values.items() if value.ndim == 3}


def stream_of(graph: onnx.ModelProto) -> list[NDArray[np.float32]]:
    """Return the vector that marks a stream's tokens: the one without a name that is added."""
    held = Initializers(graph)
    added = [
        held.read(name)
        for node in graph.graph.node
        for name in node.input
        if node.op_type == "Add" and name in held and "." not in name
    ]
    return [value for value in added if value.ndim == 1 and value.size > 1]


def restore(folder: Path) -> tuple[StreamingAutoencoder, InContextTransformer]:
    """Return the networks of an export, in evaluation mode.

    Raises:
        BuildError: a file is damaged, the profile has no learnt prompts, or the graphs lack a
            weight.
    """
    manifest = read_manifest(folder)
    profile = Profile.from_dict(manifest["profile"], source=str(folder))
    if not profile.prompts:
        raise BuildError(
            f"expected an export whose prompts were learnt with it, got {profile.name} in "
            f"{folder}: start from its checkpoint"
        )
    graphs = {name: onnx.load(folder / f"{name}.onnx") for name in graphs_of(profile)}
    found: Arrays = {}
    for graph in graphs.values():
        found = weights_of(graph) | found
    found |= statistics_of(graphs["encode"])
    for name, values in manifest.get("precipitation", {}).items():
        found[f"autoencoder.decoder.falling.{name}"] = np.array(values, np.float32)
    streams = [vector for name in STREAMS if name in graphs for vector in stream_of(graphs[name])]
    if len(streams) == 1:  # without reference tokens, which nothing marks then
        streams = [np.zeros_like(streams[0]), *streams]
    if streams:
        found["transformer.stream_embedding"] = np.stack(streams)
    with torch.random.fork_rng(), torch.device("cpu"):
        torch.manual_seed(0)
        networks = StreamingAutoencoder(profile), InContextTransformer(profile)
    autoencoder, transformer = networks
    for kind, network in zip(("autoencoder", "transformer"), networks, strict=True):
        _fill(network, kind, found, folder)
        network.eval()
    pairs = read_prompts(folder, manifest)
    _solve_prompts(transformer, [pairs[name] for name in profile.prompts], folder)
    return autoencoder, transformer


def _fill(network: torch.nn.Module, kind: str, found: Mapping[str, NDArray[np.float32]],
          folder: Path) -> None:  # fmt: skip
    """Load what was found; only what makes prompts may be missing."""
    own = network.state_dict()
    parameters = {name for name, _ in network.named_parameters()}
    given = {
        name.removeprefix(f"{kind}."): torch.from_numpy(value.copy())
        for name, value in found.items()
        if name.startswith(f"{kind}.")
    }
    given = in_present_form(given, network)
    read = {}
    for name, value in own.items():
        if name in given:
            read[name] = given[name].reshape((-1, *value.shape[1:]) if value.ndim else ())
    lacking = sorted(name for name in parameters - read.keys() if not makes_prompts(name))
    if lacking:
        raise BuildError(
            f"expected the weights of every layer of the {kind} in {folder}, got none of "
            f"{', '.join(lacking[:3])}: export the checkpoint again"
        )
    load_into(network, {**own, **read}, source=str(folder))


def makes_prompts(name: str) -> bool:
    """Return whether a parameter of the transformer only makes the prompts' keys and values."""
    layers = ("attn2.to_k.", "attn2.to_v.", "attn2.norm_k.")
    return name.startswith(("prompt_embedding", "condition_embedder.text_embedder.")) or any(
        layer in name for layer in layers
    )


@torch.no_grad()
def _solve_prompts(
    transformer: InContextTransformer,
    pairs: list[NDArray[np.float32]],  # of each prompt, (L, 2, 1, heads, M, D)
    folder: Path,
) -> None:
    """Set the layers of keys and values so that the prompts' embeddings make these pairs."""
    tokens = transformer.condition_embedder.text_embedder(transformer.prompt_embedding)
    seen = tokens.flatten(0, 1).double()
    seen = torch.cat((seen, torch.ones(len(seen), 1, dtype=torch.float64)), 1)
    wanted = torch.from_numpy(np.stack(pairs)).double()[:, :, :, 0]  # (P, L, 2, heads, M, D)
    wanted = wanted.permute(1, 2, 0, 4, 3, 5).flatten(4).flatten(2, 3)  # (L, 2, P M, W)
    for block, (keys, values) in zip(transformer.blocks, wanted, strict=True):
        assert isinstance(block, Block)
        gains = norm_gains(keys)
        block.attn2.norm_k.weight.copy_(gains)
        for layer, targets in ((block.attn2.to_k, keys / gains), (block.attn2.to_v, values)):
            start = torch.cat((layer.weight.T.double(), layer.bias[None].double()))
            change = torch.linalg.lstsq(seen, targets - seen @ start, driver="gelsd").solution
            layer.weight.copy_((start + change)[:-1].T)
            layer.bias.copy_((start + change)[-1])
    made = np.stack([transformer.prompt(one[None]).numpy() for one in transformer.prompt_embedding])
    off = float(np.abs(made - np.stack(pairs)).max())
    if not off <= PAIRS_TOLERANCE * max(float(np.abs(made).max()), 1.0):
        raise BuildError(
            f"expected prompts that a layer of width {transformer.profile.width} can make, got "
            f"keys and values in {folder} that it misses by {off:.2g}: start from its checkpoint"
        )


def norm_gains(keys: Tensor) -> Tensor:  # (N, W) float64 -> (W,)
    """Return gains g nearest to equal for which keys / g have root mean squares 1, as norms give.

    Sum over channels of key^2 / g^2 = W is linear in 1 / g^2: the least change of equal ones.
    """
    squares = keys.square() / keys.shape[1]
    equal = torch.full((keys.shape[1],), 1.0, dtype=keys.dtype) / squares.sum(1).mean()
    short = 1.0 - squares @ equal
    inverse = equal + torch.linalg.lstsq(squares, short, driver="gelsd").solution
    gains: Tensor = inverse.clamp_min(0.01 * float(equal[0])).rsqrt()
    return gains
