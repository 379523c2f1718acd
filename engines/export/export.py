"""Exports a checkpoint to ONNX: four graphs, one file with their weights, and a manifest.

The graphs are `encode`, `context`, `denoise` and `decode`. All state is passed as inputs and
outputs. Height and width are dynamic: any multiples of the profile's token stride.
"""

from __future__ import annotations

import gc
import json
import logging
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from realmaster_live.engines.export.graphs import OPSET, Graph, example_graphs, to_onnx
from realmaster_live.engines.export.quantize import (
    MEAN_LEVELS,
    WEIGHT_BITS,
    Sample,
    agreement,
    check_agreement,
    choose,
    quantize,
)
from realmaster_live.engines.manifest import PROMPT_PAIRS_FILE, WEIGHTS_FILE, describe_files
from realmaster_live.engines.onnx_engine import OnnxEngine
from realmaster_live.engines.onnx_sessions import open_sessions
from realmaster_live.engines.program.weight_file import SMALL, WeightFile
from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.engines.torch.opening import check_finite
from realmaster_live.errors import BuildError
from realmaster_live.model.autoencoders.interface import Autoencoder
from realmaster_live.model.checkpoint import load_checkpoint
from realmaster_live.model.cost import PROMPT_TOKENS
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import Profile
from realmaster_live.model.sampling import sigmas
from realmaster_live.model.vae import StreamingAutoencoder
from realmaster_live.prompts import NEGATIVE, PROMPTS_FILE, PromptTable
from realmaster_live.system.atomic_files import write_text
from realmaster_live.system.contents import sha256_of

logger = logging.getLogger(__name__)

FORMAT = 1
STEP_CHOICES = (1, 2, 4)
EXAMPLE_ROWS, EXAMPLE_COLUMNS = 4, 6  # tokens of the pictures that graphs are traced on
CHECKPOINT_FILES = (
    *("profile.json", "transformer.safetensors", "autoencoder.safetensors"),
    PROMPTS_FILE,
)
LICENCE = "Apache-2.0"  # for a checkpoint whose facts name no licence: the package's own
LARGE_BYTES = 2**30  # weights that are compared without a copy of them in float32
TOLERANCE = 2e-3  # maximum difference of latents between torch and ONNX Runtime
Answers = dict[str, tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]]
Precision = Literal["float16", "int8"]  # how the weights are stored; int8 also computes in integers


def checkpoint_hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a checkpoint that its graphs are made of, by name."""
    return {
        name: sha256_of(folder / name, error=BuildError)
        for name in CHECKPOINT_FILES
        if (folder / name).is_file()
    }


def round_weights(module: nn.Module) -> None:
    """Round the tensors that `WeightFile` stores as float16, in place."""
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.numel() >= SMALL:
                tensor.copy_(tensor.half())


def prompt_pairs(
    transformer: InContextTransformer, checkpoint_dir: Path
) -> dict[str, NDArray[np.float32]]:
    """Return the keys and values of each prompt, (L, 2, 1, heads, M, head width), by name.

    The negative prompt is left out, because exported graphs have no guidance.
    """
    path = checkpoint_dir / PROMPTS_FILE
    kept = PromptTable.load(path) if path.exists() else {}
    profile = transformer.profile
    known = {name: torch.from_numpy(kept[name]) for name in kept if name != NEGATIVE}
    if profile.prompts:
        known = dict(zip(profile.prompts, transformer.prompt_embedding, strict=True)) | known
    with torch.no_grad():
        return {name: transformer.prompt(text[None]).numpy() for name, text in known.items()}


def answers(graphs: Sequence[Graph]) -> Answers:
    """Return each graph's example inputs and the outputs that torch computes from them."""
    found: Answers = {}
    for graph in graphs:
        with torch.no_grad():
            made = graph.module(**graph.inputs)
        made = made if isinstance(made, tuple) else (made,)
        outputs = {
            name: each.numpy().copy() for name, each in zip(graph.outputs, made, strict=True)
        }
        found[graph.name] = {k: v.numpy() for k, v in graph.inputs.items()}, outputs
    return found


def parity(expected: Answers, folder: Path, *, lean: bool = False) -> dict[str, float]:
    """Return each output's maximum difference between torch and ONNX Runtime (bytes: levels).

    `lean` needs less memory, as in `open_sessions`.
    """
    figures = {}
    for graph, (inputs, outputs) in expected.items():
        [session] = open_sessions(
            folder,
            [graph],
            threads=0,
            providers=["CPUExecutionProvider"],
            lean=lean,
            fused=False,
        ).values()
        got = session.run(list(outputs), inputs)
        for (name, left), right in zip(outputs.items(), got, strict=True):
            difference = np.abs(left.astype(np.float64) - right.astype(np.float64)).max()
            figures[f"{graph}.{name}"] = float(difference)
        del session  # free its memory before the next one is loaded
    return figures


def check_parity(figures: Mapping[str, float]) -> None:
    """Raise BuildError if ONNX Runtime's outputs differ too much from torch's."""
    for name, difference in figures.items():
        limit = 1.0 if name == "decode.frames" else TOLERANCE
        if not difference <= limit:
            raise BuildError(
                f"expected {name} of ONNX Runtime within {limit} of torch, got {difference:.3g}: "
                "use the versions in constraints.txt, or report the pair of versions"
            )


def check_export(expected: Answers, models: Mapping[str, onnx.ModelProto]) -> dict[str, float]:
    """Check the float32 graphs against torch before they are quantized; return their parity."""
    with tempfile.TemporaryDirectory() as folder:
        for name, model in models.items():
            onnx.save(model, Path(folder, f"{name}.onnx"))
        figures = parity(expected, Path(folder))
    check_parity(figures)
    return figures


def compare_int8(
    checkpoint: Path, out: Path, samples: Sequence[Sample], prompts: Sequence[str]
) -> dict[str, float]:
    """Return how much an int8 export's pictures differ from those of torch in float32."""

    def engines(width: int, height: int) -> tuple[TorchEngine, OnnxEngine]:
        exact = TorchEngine(checkpoint, width=width, height=height)
        return exact, OnnxEngine(out, width=width, height=height)

    return agreement(engines, samples, prompts)


def export(
    checkpoint_dir: Path | str,
    out_dir: Path | str,
    *,
    height: int | None = None,  # of the example pictures, pixels
    width: int | None = None,
    facts: Mapping[str, Any] | None = None,
    precision: Precision = "float16",
    calibrate: Sequence[Sample] = (),
    mean_levels: float = MEAN_LEVELS,
) -> dict[str, Any]:
    """Write a checkpoint's graphs, weights and `manifest.json`; return the manifest.

    The graphs take pictures of any size. They are traced, and compared with torch, on example
    pictures of `height` and `width`, which are a few tokens by default.
    `facts` states what the checkpoint was trained on (default: its facts.json). Precision float16
    stores weights in float16 and computes in float32. int8 needs about half the space and computes
    in integers, with scales calibrated on some of the clips in `calibrate`. The manifest then also
    states how much the pictures differ from torch's; BuildError if the mean difference is more than
    `mean_levels` of 255.
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
    height = height or EXAMPLE_ROWS * profile.token_stride
    width = width or EXAMPLE_COLUMNS * profile.token_stride
    round_weights(autoencoder)
    round_weights(transformer)
    pairs = prompt_pairs(transformer, checkpoint)
    constants = {"precipitation": precipitation_of(autoencoder)}  # graphs hold them without names
    tokens = next(iter(pairs.values())).shape[4] if pairs else PROMPT_TOKENS
    graphs = example_graphs(autoencoder, transformer, height, width, prompt_tokens=tokens)
    expected = answers(graphs)
    names = list(expected)
    figures = {}
    if precision == "int8":
        models = {graph.name: to_onnx(graph) for graph in graphs}
        figures = check_export(expected, models)
        models = quantize(models, samples, transformer)
    with WeightFile(out / WEIGHTS_FILE) as weights:
        for graph in graphs:
            if precision == "int8":
                model = models[graph.name]
                weights.move_weights(model)
            else:
                model = to_onnx(graph, weights)
            onnx.save(model, out / f"{graph.name}.onnx")
            logger.info("exported %s: %d nodes", graph.name, len(model.graph.node))
            del model  # free its memory before the next one is made
    del graph, graphs, autoencoder, transformer
    gc.collect()  # free torch's weights before ONNX Runtime loads its own
    if pairs:
        np.save(out / PROMPT_PAIRS_FILE, np.stack(list(pairs.values())))
    if precision == "float16":
        is_large = (out / WEIGHTS_FILE).stat().st_size > LARGE_BYTES
        figures = parity(expected, out, lean=is_large)
        check_parity(figures)
    if facts is None:
        path = checkpoint / "facts.json"
        facts = json.loads(path.read_text()) if path.exists() else {}
    manifest = describe(profile, out, names, list(pairs), figures, facts, precision) | constants
    if precision == "int8":
        with tempfile.TemporaryDirectory(dir=out) as unchecked:
            for name in manifest["files"]:
                Path(unchecked, name).hardlink_to(out / name)
            write_manifest(Path(unchecked), manifest)
            found = compare_int8(checkpoint, Path(unchecked), samples, list(pairs))
        check_agreement(found, mean_levels)
        manifest["parity"] |= {name: float(f"{value:.3g}") for name, value in found.items()}
        manifest["calibration_clips"] = len(samples)
    manifest["checkpoint"] = checkpoint_hashes(checkpoint)
    write_manifest(out, manifest)
    return manifest


def precipitation_of(autoencoder: Autoencoder) -> dict[str, list[float]]:
    """Return thresholds and greys of drops and flakes; nothing of a decoder that draws none."""
    if not isinstance(autoencoder, StreamingAutoencoder) or not autoencoder.profile.falling:
        return {}
    falling = autoencoder.decoder.falling
    return {name: getattr(falling, name).tolist() for name in ("threshold", "grey")}


def write_manifest(out: Path, manifest: Mapping[str, Any]) -> None:
    """Write manifest.json atomically."""
    write_text(out / "manifest.json", json.dumps(manifest, indent=2) + "\n")


def describe(
    profile: Profile,
    out: Path,
    names: list[str],
    prompts: list[str],
    figures: Mapping[str, float],
    facts: Mapping[str, Any],
    precision: Precision,
) -> dict[str, Any]:
    """Return the manifest that describes the exported files."""
    files = [*(f"{name}.onnx" for name in names), WEIGHTS_FILE]
    files += [PROMPT_PAIRS_FILE] if prompts else []
    bits = {"weight_bits": WEIGHT_BITS} if precision == "int8" else {}
    return {
        "format": FORMAT,
        "precision": precision,
        **bits,
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
        "files": describe_files(out, files),
        "parity": {name: float(f"{value:.3g}") for name, value in figures.items()},
        "trained_on": dict(facts),
        "licence": facts.get("licence", LICENCE),
    }
