"""The four graphs of a model and their export: modules, example inputs, dynamic axes, tracing.

Legend: T frames of a chunk, H W pixels, N tokens of a chunk, M tokens of a prompt, L layers.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import onnx
import onnx_ir
import torch
from torch import Tensor, nn
from torch.export import Dim

from realmaster_live.engines.manifest import WEIGHTS_FILE, graphs_of
from realmaster_live.engines.program.weight_file import SMALL, WeightFile
from realmaster_live.errors import BuildError
from realmaster_live.model.autoencoders.interface import CELL, Autoencoder, empty_memories
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.geometry_guide import CHANNELS
from realmaster_live.model.in_context import rope_at
from realmaster_live.model.light_guide import LIGHTS
from realmaster_live.model.vae import to_bytes, to_cells

OPSET = 23  # the first with Attention, RMSNormalization and RotaryEmbedding


class Encode(nn.Module):
    """(T, H, W, 3) uint8, memory, light -> guide (T, 12, H/2, W/2), latent, next memory."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(
        self, frames: Tensor, memory: Tensor, light: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the guide (frames as cells, for `decode`), the latent and the new memory."""
        guide = to_cells(frames[None])
        return guide, *self.autoencoder.encode(guide, memory, light)


class Context(nn.Module):
    """Reference latent -> the reference's rotated keys and its values."""

    def __init__(self, transformer: InContextTransformer) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(
        self, reference: Tensor, cos: Tensor, sin: Tensor, prompt_kv: Tensor | None = None
    ) -> Tensor:
        """Return (L, 2, 1, heads, N, head width)."""
        return self.transformer.context(reference, (cos, sin), prompt_kv)


class Denoise(nn.Module):
    """A denoise pass. At timestep 0 its keys and values are those of the ring."""

    def __init__(self, transformer: InContextTransformer) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        reference: Tensor,
        past_kv: Tensor,
        cos: Tensor,
        sin: Tensor,
        past_cos: Tensor,
        past_sin: Tensor,
        reference_kv: Tensor | None = None,
        prompt_kv: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return x0 and the target's unrotated keys and values."""
        return self.transformer.denoise(
            sample,
            timestep,
            reference,
            reference_kv,
            past_kv,
            (cos, sin),
            (past_cos, past_sin),
            prompt_kv,
        )


class Decode(nn.Module):
    """Latent, memory, guide, noise and geometry -> (T, H, W, 3) uint8, next memory."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(
        self,
        latent: Tensor,
        memory: Tensor,
        guide: Tensor | None = None,
        noise: Tensor | None = None,
        geometry: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the frames and the new memory; `noise` is for the precipitation layer."""
        frames, next_memory = self.autoencoder.decode(latent, guide, memory, noise, geometry)
        return to_bytes(frames, len(frames))[0], next_memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """A graph to export: its module, example inputs, dynamic axes and names of outputs."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    dynamic_axes: dict[str, dict[int, Any]]
    outputs: list[str]


def example_graphs(
    autoencoder: Autoencoder,
    transformer: InContextTransformer,
    height: int,
    width: int,
    seed: int = 0,
    prompt_tokens: int = 0,
) -> list[Graph]:
    """Return the graphs with example inputs of a picture size.

    `prompt_tokens` is the length of a text encoder's prompts, for models without learnt prompts.
    """
    profile = transformer.profile
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    stride = profile.token_stride
    rows, columns = height // stride, width // stride
    tokens = profile.chunk_latents * rows * columns
    frames = torch.randint(
        0, 256, (profile.chunk_frames, height, width, 3), generator=generator, dtype=torch.uint8
    )
    shapes = torch.randint(
        0,
        256,
        (profile.chunk_frames, CHANNELS, height // CELL, width // CELL),
        generator=generator,
        dtype=torch.uint8,
    )
    memories = [
        0.1 * noise(*empty.shape) for empty in empty_memories(autoencoder, 1, height, width)
    ]
    latent = noise(*profile.latent_shape(height, width))
    kv_shape = (profile.layers, 2, 1, profile.heads)
    past = tokens + rows  # not `tokens`, so that the exporter does not equate the two dimensions
    cos, sin = rope_at(profile, [0.0], rows, columns)
    past_cos, past_sin = (torch.cat((x, x[:rows])) for x in (cos, sin))
    light = noise(1, len(LIGHTS), *latent.shape[-2:])
    r, c, p = Dim("rows", min=1, max=128), Dim("columns", min=1, max=128), Dim("past")
    light_axes = {2: profile.patch * r, 3: profile.patch * c}
    cell_axes = {2: stride // CELL * r, 3: stride // CELL * c}
    memory_axes = {2: stride // 8 * r, 3: stride // 8 * c}
    latent_axes = {latent.ndim - 2: profile.patch * r, latent.ndim - 1: profile.patch * c}
    shape = (*kv_shape, prompt_tokens or profile.prompt_tokens, profile.head_width)
    prompt = {"prompt_kv": noise(*shape)} if profile.text_width else {}
    prompt_axes: dict[str, dict[int, Any]] = {name: {} for name in prompt}
    known = noise(*kv_shape, tokens, profile.head_width)
    graphs = [
        Graph(
            name="encode",
            module=Encode(autoencoder),
            inputs={
                "frames": frames,
                "memory": memories[0],
                **({"light": light} if profile.light else {}),
            },
            dynamic_axes={
                "frames": {1: stride * r, 2: stride * c},
                "memory": memory_axes,
                **({"light": light_axes} if profile.light else {}),
            },
            outputs=["guide", "latent", "next_memory"],
        ),
        Graph(
            name="context",
            module=Context(transformer),
            inputs={"reference": latent, "cos": cos, "sin": sin, **prompt},
            dynamic_axes={
                "reference": latent_axes,
                "cos": {0: Dim.AUTO},
                "sin": {0: Dim.AUTO},
                **prompt_axes,
            },
            outputs=["reference_kv"],
        ),
        Graph(
            name="denoise",
            module=Denoise(transformer),
            inputs={
                "sample": noise(*latent.shape),
                "timestep": torch.full((1,), 0.5),
                "reference": latent,
                **({"reference_kv": known} if profile.in_context else {}),
                "past_kv": noise(*kv_shape, past, profile.head_width),
                "cos": cos,
                "sin": sin,
                "past_cos": past_cos,
                "past_sin": past_sin,
                **prompt,
            },
            dynamic_axes={
                "sample": latent_axes,
                "timestep": {},
                "reference": latent_axes,
                **({"reference_kv": {4: Dim.AUTO}} if profile.in_context else {}),
                "past_kv": {4: p},
                "cos": {0: Dim.AUTO},
                "sin": {0: Dim.AUTO},
                "past_cos": {0: p},
                "past_sin": {0: p},
                **prompt_axes,
            },
            outputs=["x0", "target_kv"],
        ),
        Graph(
            name="decode",
            module=Decode(autoencoder),
            inputs={
                "latent": latent,
                "memory": memories[1],
                **({"guide": to_cells(frames[None])} if autoencoder.guided else {}),
                **({"noise": noise(*latent.shape)} if profile.falling else {}),
                **({"geometry": shapes} if profile.geometry else {}),
            },
            dynamic_axes={
                "latent": latent_axes,
                "memory": memory_axes,
                **({"guide": cell_axes} if autoencoder.guided else {}),
                **({"noise": latent_axes} if profile.falling else {}),
                **({"geometry": cell_axes} if profile.geometry else {}),
            },
            outputs=["frames", "next_memory"],
        ),
    ]
    return [graph for graph in graphs if graph.name in graphs_of(profile)]


def to_onnx(graph: Graph, weights: WeightFile | None = None) -> onnx.ModelProto:
    """Return a graph's ONNX model, traced by torch's dynamo exporter.

    Large weights are moved to `weights`, if it is given, before the model is serialized.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter warns about deprecations in its own code
        program = torch.onnx.export(
            graph.module.eval(),
            (),
            kwargs=graph.inputs,
            dynamic_shapes=graph.dynamic_axes,
            output_names=graph.outputs,
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise BuildError(
            f"expected an ONNX program of {graph.name}, got none: check the torch version"
        )
    if weights is not None:
        move_traced(program.model, weights)
    model: onnx.ModelProto = program.model_proto
    if weights is not None:
        weights.move_weights(model)
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    del model.graph.value_info[:]
    scatters = [node.name for node in model.graph.node if node.op_type == "ScatterND"]
    if scatters:
        raise BuildError(
            f"expected no ScatterND in {graph.name}, got {scatters}: "
            "write the operation without an assignment in place"
        )
    return model


def move_traced(model: onnx_ir.Model, weights: WeightFile) -> None:
    """Move the large float32 weights of a traced model into a file, as float16.

    They are torch's own tensors, so no second copy of them is made. The casts to float32 are added
    to the serialized model, by `WeightFile.move_weights`.
    """
    for value in model.graph.initializers.values():
        tensor = value.const_value
        if tensor is None or tensor.dtype != onnx_ir.DataType.FLOAT or tensor.size < SMALL:
            continue
        half = tensor.numpy().astype("<f2")
        offset, length = weights.place(half.tobytes())
        value.const_value = onnx_ir.ExternalTensor(
            WEIGHTS_FILE,
            offset,
            length,
            onnx_ir.DataType.FLOAT16,
            shape=onnx_ir.Shape(half.shape),
            name=tensor.name or "",
        )
