"""Quantizes float32 graphs, so that their matrix products and convolutions compute in int8.

The transformer's products use dynamic quantization, in which activations are scaled at run time.
The autoencoder's convolutions use static scales that are calibrated on clips, those of the decoder
on the latents that the model itself makes: a model that was trained on its pictures makes others
than the encoder makes of the truth, and what lies outside of the scales is cut off. Features stay
in 8 bits from convolution to convolution. The decoder's sums with the render, its tone and its
precipitation stay float32: they are small, and rounding them would show in the pictures.

Legend: T frames of a chunk, H W pixels.
"""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from realmaster_live.engines.noise import draw
from realmaster_live.engines.program.rehearsal import noise_chunk
from realmaster_live.engines.sizes import chunk_spans
from realmaster_live.errors import BuildError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.frames.geometry import pinhole
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.geometry_guide import geometry_of
from realmaster_live.model.in_context import rope_at
from realmaster_live.model.light_guide import light_of
from realmaster_live.model.sampling import euler_step, flow_start, sigmas
from realmaster_live.model.whole_clip import predict_clip
from realmaster_live.prompts import AS_SIMULATED
from realmaster_live.protocols import PromptedEngine

WEIGHT_BITS = 7
LAST = re.compile(r"decoder\.(tone|falling)\b|\.light\b")  # small layers, kept in float32
WRITES = re.compile(r"decoder\.write\b")  # the decoder's layer that writes pixels
CLIPS, CHUNKS = 8, 2  # for calibration: number of clips, and of chunks at the beginning of each
CAMERA_M, FAR_M = 1.5, 1000.0  # height of a camera over a road, and the depth of the sky
MEAN_LEVELS = 2.0  # default limit of int8 pictures' mean difference from torch's in float32

Frames = NDArray[np.uint8]  # (T, H, W, 3)
Graphs = dict[str, onnx.ModelProto]
Inputs = dict[str, NDArray[Any]]
Latent = NDArray[np.float32]  # (1, C, H / 16, W / 16)
Denoise = Callable[[Latent, str], Latent]  # of a render's latent and a prompt's name


class Sample(Protocol):
    """A clip for calibration; the truth, if there is one, judges what int8 costs."""

    @property
    def sim(self) -> Frames:
        """The rendered frames (T, H, W, 3) uint8."""

    @property
    def truth(self) -> Frames | None:
        """The target frames (T, H, W, 3) uint8, or None."""

    @property
    def prompt(self) -> str:
        """The prompt whose weather the truth shows."""

    @property
    def geometry(self) -> Any:
        """The geometry (T, G, H / 2, W / 2) uint8 of the frames, or None."""

    def light(self, frame: int, stride: int) -> NDArray[np.float32]:
        """Return the light (L, H / s, W / s) at a frame; zero where it is unknown."""


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """A clip of rendered frames without a truth."""

    sim: Frames
    truth: None = None
    prompt: str = AS_SIMULATED
    geometry: None = None

    def light(self, frame: int, stride: int) -> NDArray[np.float32]:
        """Return zeros: it is unknown."""
        _, height, width, _ = self.sim.shape
        return light_of({}, np.eye(4), np.eye(3), (height, width), stride)


class Calibration(CalibrationDataReader):  # type: ignore[misc]
    """The calibration inputs of one graph, as ONNX Runtime's quantizer reads them."""

    def __init__(self, inputs: Sequence[Inputs]) -> None:
        self._inputs: Iterator[Inputs] = iter(inputs)

    def get_next(self) -> Inputs | None:
        """Return the next inputs, None at the end."""
        return next(self._inputs, None)


def choose(
    samples: Sequence[Sample], most: int = CLIPS, *, precision: str = "int8"
) -> list[Sample]:
    """Return at most `most` samples, of all prompts alike and evenly spaced among each one's.

    Raises:
        BuildError: there are none.
    """
    if not samples:
        raise BuildError(
            f"expected clips to calibrate {precision} on, got none: give --calibrate a folder of "
            "pairs, or a .npy of frames (T, H, W, 3)"
        )
    alike: dict[str, list[Sample]] = {}
    for sample in samples:
        alike.setdefault(sample.prompt, []).append(sample)
    chosen = []
    for index, group in enumerate(alike.values()):
        share = most // len(alike) + (index < most % len(alike))
        places = np.linspace(0, len(group) - 1, share).round().astype(int)
        chosen += [group[place] for place in np.unique(places)]
    return chosen


def denoiser(transformer: InContextTransformer) -> Denoise:
    """Return a function that gives the latent a model makes of a render's, without a past."""
    profile = transformer.profile
    levels = sigmas(profile.steps, profile.shift)

    @torch.no_grad()
    def denoise(reference: Latent, prompt: str) -> Latent:
        source = torch.from_numpy(reference)
        rows, columns = (side // profile.patch for side in reference.shape[-2:])
        rope = rope_at(profile, (0.0,), rows, columns)
        names = profile.prompts
        text = transformer.prompt_embedding[[names.index(prompt)]] if prompt in names else None
        pairs = None if text is None else transformer.prompt(text)
        x = flow_start(profile, torch.from_numpy(draw(reference.shape, 0)), source)
        for t, t_next in pairwise(levels):
            x0 = predict_clip(transformer, x, torch.full((1,), t), rope, source, pairs)
            x = euler_step(x, x0, t, t_next)
        return np.asarray(x.numpy())

    return denoise


def calibration_inputs(
    encode: onnx.ModelProto,
    decode: onnx.ModelProto,
    samples: Sequence[Sample],
    transformer: InContextTransformer,
) -> dict[str, list[Inputs]]:
    """Return inputs of `encode` and `decode` for each sample's first chunks, carrying the memory.

    The decoder gets the latents that the transformer makes, under each sample's prompt.
    """
    denoise, stride = denoiser(transformer), transformer.profile.latent_stride
    sessions = {
        name: onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        for name, model in (("encode", encode), ("decode", decode))
    }
    shapes, wanted = (
        {value.name: value.shape for value in session.get_inputs()} for session in sessions.values()
    )
    size = shapes["frames"][0]
    found: dict[str, list[Inputs]] = {"encode": [], "decode": []}
    for sample in samples:
        _, height, width, _ = sample.sim.shape
        encoder_memory, decoder_memory = (
            np.zeros((1, takes["memory"][1], height // 8, width // 8), np.float32)
            for takes in (shapes, wanted)
        )
        for start in range(0, min(len(sample.sim) // size, CHUNKS) * size, size):
            frames = np.ascontiguousarray(sample.sim[start : start + size])
            told = len(found["decode"]) % 2  # every other chunk: scales must do for both
            inputs = {"frames": frames, "memory": encoder_memory}
            if "light" in shapes:
                inputs["light"] = sample.light(start + size - 1, stride)[None] * np.float32(told)
            found["encode"].append(inputs)
            guide, reference, encoder_memory = sessions["encode"].run(
                ["guide", "latent", "next_memory"], inputs
            )
            latent = denoise(reference, sample.prompt)
            inputs = {"latent": latent, "memory": decoder_memory}
            if "guide" in wanted:
                inputs["guide"] = guide
            if "noise" in wanted:  # zero noise draws no drops or flakes
                inputs["noise"] = np.zeros_like(latent)
            if "geometry" in wanted:
                known = geometry_at(sample, start, size)
                inputs["geometry"] = known if told else np.zeros_like(known)
            found["decode"].append(inputs)
            decoder_memory = sessions["decode"].run(["next_memory"], inputs)[0]
    return found


def geometry_at(sample: Sample, start: int, count: int) -> NDArray[np.uint8]:
    """Return the geometry of some frames of a sample; without labels, that of an empty road."""
    if sample.geometry is None:
        return empty_road(count, *sample.sim.shape[1:3])
    return np.ascontiguousarray(sample.geometry[start : start + count])


def empty_road(count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return the geometry of frames that show a road up to the horizon, and the sky."""
    camera = pinhole(width, height, 80.0)
    below = np.maximum(np.arange(height) + 0.5 - height / 2, 0.0)[:, None]  # pixels
    with np.errstate(divide="ignore"):
        depth = np.minimum(camera[1, 1] * CAMERA_M / below, FAR_M)
    classes = np.where(below > 0, CLASS_IDS["road"], CLASS_IDS["sky"])
    labels = {
        name: np.broadcast_to(rows.astype(dtype), (count, height, width))
        for name, rows, dtype in (("depth", depth, np.float32), ("semantic", classes, np.uint8))
    }
    return geometry_of(labels, camera, (count, height, width))


@contextmanager
def without_advice() -> Iterator[None]:
    """Hide the quantizer's advice to preprocess the model, which it logs to the root logger."""

    def wanted(record: logging.LogRecord) -> bool:
        return "pre-processing" not in record.getMessage()

    root = logging.getLogger()
    root.addFilter(wanted)
    try:
        yield
    finally:
        root.removeFilter(wanted)


def quantize_products(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a graph whose MatMuls compute in int8, with dynamically scaled activations.

    Weights use 7 of the 8 bits. Then sums of two products with unsigned 8-bit activations fit into
    16 bits, and x86 processors without VNNI do not saturate.
    """
    with tempfile.TemporaryDirectory() as folder, without_advice():
        before, after = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        onnx.save(model, before)
        quantize_dynamic(
            before,
            after,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(after)


def convolutions(model: onnx.ModelProto, weights: re.Pattern[str] | None) -> set[str]:
    """Return the names of the convolutions whose weights' names match."""
    return {
        node.name
        for node in model.graph.node
        if weights is not None and node.op_type == "Conv" and weights.search(node.input[1])
    }


def after(model: onnx.ModelProto, names: Iterable[str]) -> set[str]:
    """Return the names of these nodes, and of all nodes that compute with their outputs."""
    found = set(names)
    tensors: set[str] = set()
    for node in model.graph.node:  # sorted: a node comes after those whose outputs it takes
        if node.name in found or tensors.intersection(node.input):
            found.add(node.name)
            tensors.update(node.output)
    return found


def quantize_convolutions(
    model: onnx.ModelProto, inputs: Sequence[Inputs], *, keep: re.Pattern[str] | None = LAST
) -> onnx.ModelProto:
    """Return a graph whose convolutions compute in int8, with static scales from calibration.

    So do rectifiers, sums and repetitions of features between them. Convolutions whose weights
    match `keep`, and what comes after them, are not quantized. Weights use 7 of the 8 bits, for the
    reason that `quantize_products` gives.
    """
    kept, writes = (convolutions(model, pattern) for pattern in (keep, WRITES))
    excluded = after(model, kept) | after(model, writes) - writes
    with tempfile.TemporaryDirectory() as folder, without_advice():
        before, quantized = Path(folder, "before.onnx"), Path(folder, "after.onnx")
        onnx.save(model, before)
        quantize_static(
            before,
            quantized,
            Calibration(inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Relu", "Resize", "Add"],
            nodes_to_exclude=sorted(excluded),
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(quantized)


def quantize(
    graphs: Graphs, samples: Sequence[Sample], transformer: InContextTransformer
) -> Graphs:
    """Return the four graphs in int8, calibrated on the samples."""
    inputs = calibration_inputs(graphs["encode"], graphs["decode"], samples, transformer)
    return {
        name: quantize_convolutions(model, inputs[name])
        if name in inputs
        else quantize_products(model)
        for name, model in graphs.items()
    }


def realize(engine: PromptedEngine, sample: Sample, prompts: Sequence[str]) -> Frames:
    """Return the first chunks of a sample as an engine realizes them from a reset."""
    engine.set_prompt(sample.prompt if sample.prompt in prompts else (*prompts, AS_SIMULATED)[0])
    engine.reset()
    spans = chunk_spans(engine.spec, len(sample.sim))[:CHUNKS]
    return np.concatenate(
        [
            engine.realize(_chunk(engine, sample.sim[span], index)).frames.copy()
            for index, span in enumerate(spans)
        ]
    )


def _chunk(engine: PromptedEngine, frames: Frames, index: int) -> Chunk:
    chunk = noise_chunk(engine.spec, index)
    return replace(chunk, frames=np.ascontiguousarray(frames), labels={}, sources=())


def agreement(
    engines: Callable[[int, int], tuple[PromptedEngine, PromptedEngine]],
    samples: Sequence[Sample],
    prompts: Sequence[str],
) -> dict[str, float]:
    """Return the differences between the pictures of two engines.

    `engines` opens both for a width and a height, the exact one first. `int8.max_levels` and
    `int8.mean_levels` are levels of 255. If there is a truth, `int8.psnr_change_db` is the mean
    over frames of the second engine's PSNR to the truth minus that of the exact one.
    """
    largest, means, changes = 0.0, [], []
    sizes = {sample.sim.shape[1:3] for sample in samples}
    for height, width in sorted(sizes):
        with ExitStack() as stack:
            pair = [stack.enter_context(closing(engine)) for engine in engines(width, height)]
            for sample in samples:
                if sample.sim.shape[1:3] != (height, width):
                    continue
                exact, other = (realize(engine, sample, prompts) for engine in pair)
                difference = np.abs(exact.astype(np.int16) - other)
                largest = max(largest, float(difference.max()))
                means.append(float(difference.mean()))
                if sample.truth is not None:
                    truth = np.asarray(sample.truth[: len(exact)], np.float32)
                    errors = [((made - truth) ** 2).mean((1, 2, 3)) for made in (exact, other)]
                    changes.append(float(10.0 * np.log10(errors[0] / errors[1]).mean()))
    figures = {"int8.max_levels": largest, "int8.mean_levels": float(np.mean(means))}
    if changes:
        figures["int8.psnr_change_db"] = float(np.mean(changes))
    return figures


def check_agreement(figures: Mapping[str, float], limit: float = MEAN_LEVELS) -> None:
    """Raise BuildError if the int8 pictures are too far from those of float32."""
    mean = figures["int8.mean_levels"]
    if not mean <= limit:
        raise BuildError(
            f"expected int8 pictures within {limit} levels of float32 in the mean, got "
            f"{mean:.3g}: calibrate on clips like those to realize, or use --precision float16"
        )
