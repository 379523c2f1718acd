"""Checkpoint to ONNX: four graphs, one shared file of float16 or int8 weights, and a manifest.

The graphs are `encode`, `context`, `denoise` and `decode`; every state is an explicit input and
output. Height and width are free multiples of the profile's token stride.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.export import Dim

from realmaster_live.engines.onnx_engine import PROMPT_PAIRS_FILE, OnnxEngine
from realmaster_live.engines.quantize import (
    MEAN_LEVELS,
    Sample,
    agreement,
    check_agreement,
    choose,
    quantize,
)
from realmaster_live.engines.torch_buffers import latent_shape
from realmaster_live.engines.torch_engine import TorchEngine, check_finite
from realmaster_live.errors import BuildError
from realmaster_live.model.checkpoint import load_checkpoint
from realmaster_live.model.cost import PROMPT_TOKENS
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import Profile
from realmaster_live.model.rope import rope_tables
from realmaster_live.model.sampling import sigmas
from realmaster_live.model.vae import CELL, StreamingAutoencoder, to_bytes, to_cells
from realmaster_live.prompts import PROMPTS_FILE, PromptTable

logger = logging.getLogger(__name__)

OPSET = 23  # the first with Attention, RMSNormalization and RotaryEmbedding
FORMAT = 1
WEIGHTS_FILE = "weights.bin"
STEP_CHOICES = (1, 2, 4)
SMALL = 1024  # initializers with fewer values stay float32 inside the graph
ALIGNMENT = 4096  # of a tensor in the weights file, so that it can be mapped
TOLERANCE = 2e-3  # largest difference of latents between torch and ONNX Runtime
Precision = Literal["float16", "int8"]  # how weights are stored; int8 also computes in integers


class Encode(nn.Module):
    """(T, H, W, 3) uint8, memory -> guide (T, 48, H/4, W/4), latent, next memory."""

    def __init__(self, autoencoder: StreamingAutoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, frames: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the folded frames, which `decode` takes back, the latent and the memory."""
        guide = to_cells(frames[None])
        return guide, *self.autoencoder.encode(guide, memory)


class Context(nn.Module):
    """Reference latent -> its rotated keys and values."""

    def __init__(self, transformer: InContextTransformer) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(
        self, reference: Tensor, cos: Tensor, sin: Tensor, prompt_kv: Tensor | None = None
    ) -> Tensor:
        """Return (L, 2, 1, heads, N, head width)."""
        return self.transformer.context(reference, (cos, sin), prompt_kv)


class Denoise(nn.Module):
    """One denoise pass; at timestep 0 its keys and values fill the ring."""

    def __init__(self, transformer: InContextTransformer) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor,
        reference: Tensor,
        reference_kv: Tensor,
        past_kv: Tensor,
        cos: Tensor,
        sin: Tensor,
        past_cos: Tensor,
        past_sin: Tensor,
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
    """Latent, guide, memory -> (T, H, W, 3) uint8, next memory."""

    def __init__(self, autoencoder: StreamingAutoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, latent: Tensor, guide: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Return frames and memory."""
        frames, kept = self.autoencoder.decode(latent, guide, memory)
        return to_bytes(frames, self.autoencoder.profile.chunk_frames)[0], kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """One graph to export: the module, example inputs, free axes, names of the outputs."""

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    free: dict[str, dict[int, Any]]
    outputs: list[str]


def example_graphs(
    autoencoder: StreamingAutoencoder,
    transformer: InContextTransformer,
    height: int,
    width: int,
    seed: int = 0,
    prompt_tokens: int = 0,
) -> list[Graph]:
    """Return the four graphs with example inputs of a picture size.

    `prompt_tokens` are those of a text encoder's prompts, where they are not learnt.
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
    memory = 0.1 * noise(1, profile.memory, height // 8, width // 8)
    latent = noise(*latent_shape(profile, height, width))
    kv_shape = (profile.layers, 2, 1, profile.heads)
    past = tokens + rows  # any number that is not `tokens`, so that the exporter keeps it apart
    tables = rope_tables(
        [0.0],
        rows,
        columns,
        widths=profile.rope_widths,
        theta=profile.rope_theta,
        frames=profile.chunk_latents,
    )
    cos, sin = (torch.from_numpy(table) for table in tables)
    past_cos, past_sin = (torch.cat((x, x[:rows])) for x in (cos, sin))
    r, c, p = Dim("rows", min=1, max=128), Dim("columns", min=1, max=128), Dim("past")
    cell_axes = {2: stride // CELL * r, 3: stride // CELL * c}
    memory_axes = {2: stride // 8 * r, 3: stride // 8 * c}
    latent_axes = {latent.ndim - 2: profile.patch * r, latent.ndim - 1: profile.patch * c}
    shape = (*kv_shape, prompt_tokens or profile.prompt_tokens, profile.head_width)
    prompt = {"prompt_kv": noise(*shape)} if profile.text_width else {}
    prompt_axes: dict[str, dict[int, Any]] = {name: {} for name in prompt}
    return [
        Graph(
            name="encode",
            module=Encode(autoencoder),
            inputs={"frames": frames, "memory": memory},
            free={"frames": {1: stride * r, 2: stride * c}, "memory": memory_axes},
            outputs=["guide", "latent", "next_memory"],
        ),
        Graph(
            name="context",
            module=Context(transformer),
            inputs={"reference": latent, "cos": cos, "sin": sin, **prompt},
            free={
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
                "reference_kv": noise(*kv_shape, tokens, profile.head_width),
                "past_kv": noise(*kv_shape, past, profile.head_width),
                "cos": cos,
                "sin": sin,
                "past_cos": past_cos,
                "past_sin": past_sin,
                **prompt,
            },
            free={
                "sample": latent_axes,
                "timestep": {},
                "reference": latent_axes,
                "reference_kv": {4: Dim.AUTO},
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
            inputs={"latent": latent, "guide": to_cells(frames[None]), "memory": memory},
            free={"latent": latent_axes, "guide": cell_axes, "memory": memory_axes},
            outputs=["frames", "next_memory"],
        ),
    ]


class WeightFile:
    """The weights of all graphs, each distinct tensor once, as float16 or int8."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.places: dict[str, tuple[int, int]] = {}

    def place(self, raw: bytes) -> tuple[int, int]:
        """Return offset and length of the bytes, which are appended if they are new."""
        key = hashlib.sha256(raw).hexdigest()
        if key not in self.places:
            self.data.extend(bytes(-len(self.data) % ALIGNMENT))
            self.places[key] = (len(self.data), len(raw))
            self.data.extend(raw)
        return self.places[key]

    def move_weights(self, model: onnx.ModelProto) -> None:
        """Move a graph's large initializers to this file; float32 as float16, with a Cast."""
        graph = model.graph
        kept, casts = [], []
        for tensor in graph.initializer:
            size = np.prod(tensor.dims)
            if size >= SMALL and tensor.data_type == TensorProto.INT8:
                kept.append(self.moved(tensor.name, numpy_helper.to_array(tensor)))
            elif size >= SMALL and tensor.data_type == TensorProto.FLOAT:
                half = numpy_helper.to_array(tensor).astype("<f2")
                name = f"{tensor.name}.float16"
                kept.append(self.moved(name, half))
                casts.append(helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
            else:
                kept.append(tensor)
        nodes = [*casts, *graph.node]
        del graph.initializer[:], graph.node[:]
        graph.initializer.extend(kept)
        graph.node.extend(nodes)

    def moved(self, name: str, values: NDArray[Any]) -> TensorProto:
        """Return an initializer whose values lie in this file."""
        offset, length = self.place(values.tobytes())
        tensor = TensorProto(
            name=name,
            data_type=helper.np_dtype_to_tensor_dtype(values.dtype),
            dims=values.shape,
            data_location=TensorProto.EXTERNAL,
        )
        places = {"location": WEIGHTS_FILE, "offset": str(offset), "length": str(length)}
        for key, value in places.items():
            tensor.external_data.add(key=key, value=value)
        return tensor


def to_onnx(graph: Graph) -> onnx.ModelProto:
    """Return the graph of a module, traced by torch's dynamo exporter."""
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        program = torch.onnx.export(
            graph.module.eval(),
            (),
            kwargs=graph.inputs,
            dynamic_shapes=graph.free,
            output_names=graph.outputs,
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise BuildError(
            f"expected an ONNX program of {graph.name}, got none: check the torch version"
        )
    model: onnx.ModelProto = program.model_proto
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


def round_weights(module: nn.Module) -> None:
    """Round the tensors that `WeightFile` stores as float16, in place."""
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.numel() >= SMALL:
                tensor.copy_(tensor.half())


def prompt_pairs(
    transformer: InContextTransformer, checkpoint_dir: Path
) -> dict[str, NDArray[np.float32]]:
    """Return the keys and values (L, 2, 1, heads, M, head width) of every prompt there is."""
    path = checkpoint_dir / PROMPTS_FILE
    kept = PromptTable.load(path) if path.exists() else {}
    profile = transformer.profile
    known = {name: torch.from_numpy(kept[name]) for name in kept}
    if profile.prompts:
        known = dict(zip(profile.prompts, transformer.prompt_embedding, strict=True)) | known
    with torch.no_grad():
        return {name: transformer.prompt(text[None]).numpy() for name, text in known.items()}


def parity(graphs: list[Graph], folder: Path) -> dict[str, float]:
    """Return each output's largest difference between torch and ONNX Runtime; bytes in levels."""
    figures = {}
    for graph in graphs:
        with torch.no_grad():
            expected = graph.module(**graph.inputs)
        expected = expected if isinstance(expected, tuple) else (expected,)
        session = onnxruntime.InferenceSession(
            folder / f"{graph.name}.onnx", providers=["CPUExecutionProvider"]
        )
        got = session.run(graph.outputs, {k: v.numpy() for k, v in graph.inputs.items()})
        for name, left, right in zip(graph.outputs, expected, got, strict=True):
            difference = np.abs(left.numpy().astype(np.float64) - right.astype(np.float64)).max()
            figures[f"{graph.name}.{name}"] = float(difference)
    return figures


def check_parity(figures: Mapping[str, float]) -> None:
    """Raise BuildError where ONNX Runtime answers otherwise than torch."""
    for name, difference in figures.items():
        limit = 1.0 if name == "decode.frames" else TOLERANCE
        if not difference <= limit:
            raise BuildError(
                f"expected {name} of ONNX Runtime within {limit} of torch, got {difference:.3g}: "
                "use the versions in constraints.txt, or report the pair of versions"
            )


def check_export(graphs: list[Graph], models: Mapping[str, onnx.ModelProto]) -> dict[str, float]:
    """Return the parity of float32 graphs before they are quantized, checked."""
    with tempfile.TemporaryDirectory() as folder:
        for name, model in models.items():
            onnx.save(model, Path(folder, f"{name}.onnx"))
        figures = parity(graphs, Path(folder))
    check_parity(figures)
    return figures


def compare_int8(
    checkpoint: Path, out: Path, samples: Sequence[Sample], prompts: Sequence[str]
) -> dict[str, float]:
    """Return how far a finished int8 export is from the checkpoint in torch, in float32."""

    def engines(width: int, height: int) -> tuple[TorchEngine, OnnxEngine]:
        exact = TorchEngine(checkpoint, width=width, height=height)
        return exact, OnnxEngine(out, width=width, height=height)

    return agreement(engines, samples, prompts)


def export(
    checkpoint_dir: Path | str,
    out_dir: Path | str,
    *,
    height: int = 288,
    width: int = 512,
    facts: Mapping[str, Any] | None = None,
    precision: Precision = "float16",
    calibrate: Sequence[Sample] = (),
    mean_levels: float = MEAN_LEVELS,
) -> dict[str, Any]:
    """Write the graphs, the weights and `manifest.json` of a checkpoint; return the manifest.

    `facts` says what the checkpoint was trained on; by default it is the checkpoint's facts.json.
    `precision` float16 stores the weights so and computes in float32. int8 stores about half of
    that and computes in integers, with scales that are calibrated on some of the clips of
    `calibrate`; the manifest's parity then also says how far its pictures are from torch's.
    Raises BuildError where that is more than `mean_levels` (of 255) in the mean.
    """
    if precision not in get_args(Precision):
        raise BuildError(f"expected precision float16 or int8, got {precision!r}: use one")
    samples = choose(calibrate) if precision == "int8" else []
    checkpoint, out = Path(checkpoint_dir), Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    autoencoder, transformer = load_checkpoint(checkpoint)
    check_finite(autoencoder, "autoencoder")
    check_finite(transformer, "transformer")
    profile = transformer.profile
    round_weights(autoencoder)
    round_weights(transformer)
    pairs = prompt_pairs(transformer, checkpoint)
    tokens = next(iter(pairs.values())).shape[4] if pairs else PROMPT_TOKENS
    graphs = example_graphs(autoencoder, transformer, height, width, prompt_tokens=tokens)
    models = {graph.name: to_onnx(graph) for graph in graphs}
    figures = {}
    if precision == "int8":
        figures = check_export(graphs, models)
        models = quantize(models, samples)
    weights = WeightFile()
    for name, model in models.items():
        weights.move_weights(model)
        onnx.save(model, out / f"{name}.onnx")
        logger.info("exported %s: %d nodes", name, len(model.graph.node))
    (out / WEIGHTS_FILE).write_bytes(weights.data)
    if pairs:
        np.save(out / PROMPT_PAIRS_FILE, np.stack(list(pairs.values())))
    if precision == "float16":
        figures = parity(graphs, out)
        check_parity(figures)
    if facts is None:
        path = checkpoint / "facts.json"
        facts = json.loads(path.read_text()) if path.exists() else {}
    manifest = describe(profile, out, list(models), list(pairs), figures, facts, precision)
    if precision == "int8":
        with tempfile.TemporaryDirectory(dir=out) as unchecked:
            for name in manifest["files"]:
                Path(unchecked, name).hardlink_to(out / name)
            write_manifest(Path(unchecked), manifest)
            found = compare_int8(checkpoint, Path(unchecked), samples, list(pairs))
        check_agreement(found, mean_levels)
        manifest["parity"] |= {name: float(f"{value:.3g}") for name, value in found.items()}
        manifest["calibration_clips"] = len(samples)
    write_manifest(out, manifest)
    return manifest


def write_manifest(out: Path, manifest: Mapping[str, Any]) -> None:
    """Write manifest.json, whole or not at all."""
    aside = out / "manifest.part"
    aside.write_text(json.dumps(manifest, indent=2) + "\n")
    aside.replace(out / "manifest.json")


def describe(
    profile: Profile,
    out: Path,
    names: list[str],
    prompts: list[str],
    figures: Mapping[str, float],
    facts: Mapping[str, Any],
    precision: Precision,
) -> dict[str, Any]:
    """Return the manifest of exported files."""
    files = [*(f"{name}.onnx" for name in names), WEIGHTS_FILE]
    files += [PROMPT_PAIRS_FILE] if prompts else []
    return {
        "format": FORMAT,
        "precision": precision,
        "profile": profile.as_dict(),
        "token_stride": profile.token_stride,
        "latent_stride": profile.latent_stride,
        "rope_widths": list(profile.rope_widths),
        "prompts": prompts,
        "steps": profile.steps,
        "sigmas": {str(steps): sigmas(steps, profile.shift) for steps in STEP_CHOICES},
        "opset": OPSET,
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "files": {
            name: {
                "sha256": hashlib.sha256((out / name).read_bytes()).hexdigest(),
                "bytes": (out / name).stat().st_size,
            }
            for name in files
        },
        "parity": {name: float(f"{value:.3g}") for name, value in figures.items()},
        "trained_on": dict(facts),
        "licence": "Apache-2.0",
    }
