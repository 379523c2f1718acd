"""Times the engines on one device, at every profile's full size, on random weights.

Run `PYTHONPATH=. python benchmarks/gpu/engines.py --out DIR`; it needs torch and numpy. Every row
is written to DIR/engines.json as soon as it is measured, and to the table in DIR/engines.md. The
row of a variant that fails has its error. After `--limit-s` seconds no more variants are started.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import signal
import statistics
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from device import facts_of, seconds_of
from report import Report, one_line

from realmaster_live.engines.onnx_engine import STAGES, OnnxEngine
from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.frames.chunk import Chunk
from realmaster_live.model.cost import cost, pass_flop
from realmaster_live.model.networks import Networks
from realmaster_live.model.profile import PROFILES, TINY, Profile
from realmaster_live.model.random_weights import random_networks
from realmaster_live.model.sampling import euler_step, sigmas

ORDER = ("wan-1.3b-480", "embedded", "wan-5b-704", "wan-a14b")
SIZES = {
    "tiny": ("96x64",),
    "embedded": ("512x288", "1280x704"),
    "wan-1.3b-480": ("832x480",),
    "wan-5b-704": ("1280x704",),
    "wan-a14b": ("832x480",),
}
TEXT_TOKENS = 512  # tokens of Wan's prompts
LEVELS, MEAN_LEVELS = 2, 0.05  # limits in float32 on two devices: largest and mean difference
BF16_MEAN_LEVELS = 1.0  # limit of the mean difference of bfloat16 from float32


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A way to run a profile at a size: how it is launched, and whether the reference is cached.

    `mode` is eager, graphs (CUDA graphs) or compiled (with CUDA graphs). `reference` is cached,
    recomputed (in every pass) or stock (concatenated on the frame axis, with full attention and
    without a cache).
    """

    profile: str
    width: int
    height: int
    steps: int
    mode: str
    reference: str


class LimitReached(BaseException):
    """The time limit is reached; it is not an Exception, because compilers would catch that."""


def profile_of(name: str) -> Profile:
    """Return a profile, with only one expert if there are two, since each serves a noise range."""
    return replace(TINY if name == "tiny" else PROFILES[name], experts=1)


def variants_of(name: str, size: str, modes: Sequence[str]) -> Iterator[Variant]:
    """Return a profile's variants at a size in some modes, the most important first."""
    width, height = (int(side) for side in size.split("x"))
    settings = [("graphs", "cached", 2), ("compiled", "cached", 2)]
    if name != "wan-a14b":
        settings += [("compiled", "cached", 4), ("compiled", "recomputed", 2)]
        settings += [
            ("compiled", "recomputed", 4),
            ("compiled", "stock", 2),
            ("compiled", "stock", 4),
        ]
        settings += [("graphs", "cached", 4), ("eager", "cached", 2)]
    for mode, reference, steps in settings:
        if mode not in modes:
            continue
        yield Variant(
            profile=name, width=width, height=height, steps=steps, mode=mode, reference=reference
        )


def chunk_of(engine: Any, index: int) -> Chunk:
    """Return a chunk of random pictures, on whose content the time does not depend."""
    spec = engine.spec
    count = spec.frames if index else spec.first_frames
    shape = (count, spec.height, spec.width, 3)
    return Chunk(
        index=index,
        camera="benchmark",
        frames=np.random.default_rng(index).integers(0, 256, shape, dtype=np.uint8),
        frame_ids=np.arange(count) + index * spec.frames,
        timestamps=np.arange(count) / spec.fps,
        captured_at=np.zeros(count),
        intrinsics=np.eye(3),
        cam_to_world=np.tile(np.eye(4), (count, 1, 1)),
    )


def engine_of(variant: Variant, networks: Networks, device: torch.device) -> TorchEngine:
    """Return the torch engine of a variant."""
    profile = networks[1].profile
    prompts = None
    if profile.text_width and not profile.prompts:
        shape = (TEXT_TOKENS, profile.text_width)
        prompts = {"clear": np.random.default_rng(0).standard_normal(shape, dtype=np.float32)}
    return TorchEngine(
        networks,
        width=variant.width,
        height=variant.height,
        steps=variant.steps,
        device=str(device),
        compile=variant.mode == "compiled",
        graphs=variant.mode != "eager" and variant.reference != "stock",  # its own has no graph
        precision="bf16",
        recompute_reference=variant.reference == "recomputed",
        prompts=prompts,
    )


def flop_of(variant: Variant, profile: Profile) -> float:
    """Return the transformer's FLOP for a chunk, by model/cost.py."""
    picture = cost(profile, height=variant.height, width=variant.width, steps=variant.steps)
    tokens = picture.tokens
    if variant.reference == "stock":
        return variant.steps * pass_flop(profile, 2 * tokens, 2 * tokens)
    if variant.reference == "recomputed":
        return picture.flop + variant.steps * pass_flop(profile, tokens, tokens)
    return picture.flop


def time_engine(variant: Variant, engine: TorchEngine, chunks: int) -> dict[str, Any]:
    """Return the medians of the stages' times with a full ring."""
    profile = engine.profile
    warm = profile.sink + profile.ring + 2
    given = [chunk_of(engine, index) for index in range(1, 3)]
    engine.realize(chunk_of(engine, 0))  # the first chunk may be shorter
    for index in range(1, warm):
        engine.realize(given[index % 2])
    begin = time.perf_counter()
    for index in range(chunks):
        engine.realize(given[index % 2])
    timings = engine.timings  # waits for the device
    wall = (time.perf_counter() - begin) / chunks
    stages = {stage: 1e3 * statistics.median(timings[stage][warm:]) for stage in STAGES}
    chunk = sum(stages.values())
    passes = stages["context"] + stages["denoise"] + stages["commit"]
    return {
        **stages,
        "chunk_ms": chunk,
        "wall_ms": 1e3 * wall,
        "passes_ms": passes,
        "fps": 1e3 * profile.chunk_frames / chunk,
        "fps_without_commit": 1e3 * profile.chunk_frames / (chunk - stages["commit"]),
        "tflops": flop_of(variant, profile) / passes / 1e9,
    }


def time_stock(variant: Variant, engine: TorchEngine, chunks: int) -> dict[str, Any]:
    """Return the time of all denoise steps without cache and past; see `Variant`."""
    stages = engine._open_stages()
    buffers, (expert,) = stages.buffers, stages.experts
    transformer, prompt_kv = expert.transformer, expert.state.prompt_kv
    levels = sigmas(variant.steps, engine.profile.shift)
    steps = list(pairwise(levels))

    def denoise() -> None:
        x = buffers.noise
        for t, t_next in steps:
            x0 = transformer.whole(
                x, buffers.timesteps[t], buffers.rope, buffers.reference, prompt_kv
            )
            x = euler_step(x, x0, t, t_next)
        buffers.latent.copy_(x)

    with engine._running():
        taken = seconds_of(denoise, engine.device, chunks)
    return {
        "denoise": 1e3 * taken,
        "passes_ms": 1e3 * taken,
        "tflops": flop_of(variant, engine.profile) / taken / 1e12,
        "note": "transformer passes only, without CUDA graph or past",
    }


def measure(
    variant: Variant, networks: Networks, device: torch.device, chunks: int
) -> dict[str, Any]:
    """Return a variant's row."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    begin = time.perf_counter()
    with engine_of(variant, networks, device) as engine:
        ready = time.perf_counter() - begin
        timed = time_stock if variant.reference == "stock" else time_engine
        row = {**asdict(variant), "ready_s": ready, **timed(variant, engine, chunks)}
    row["size"] = f"{variant.width}x{variant.height}"
    if device.type == "cuda":
        row["peak_gb"] = torch.cuda.max_memory_allocated(device) / 1e9
        row["reserved_gb"] = torch.cuda.max_memory_reserved(device) / 1e9
    return row


def compared(a: list[np.ndarray], b: list[np.ndarray]) -> tuple[int, float]:
    """Return the largest and the mean difference, in levels of 255."""
    differences = [np.abs(x.astype(int) - y.astype(int)) for x, y in zip(a, b, strict=True)]
    return max(int(x.max()) for x in differences), float(np.mean([x.mean() for x in differences]))


def parity(name: str, device: torch.device) -> Iterator[dict[str, Any]]:
    """Compare float32 on the device with the CPU, and bfloat16 with float32, on five chunks."""
    profile = profile_of(name)
    networks = random_networks(profile, torch.device("cpu"))
    width, height = (int(side) for side in SIZES[name][0].split("x"))

    def pictures(**options: Any) -> list[np.ndarray]:
        with TorchEngine(deepcopy(networks), width=width, height=height, **options) as engine:
            return [engine.realize(chunk_of(engine, index)).frames for index in range(5)]

    expected = pictures(device="cpu")
    exact = pictures(device=str(device))
    for mode, got, against, mean_limit, limit in (
        ("fp32", exact, expected, MEAN_LEVELS, LEVELS),
        ("bf16", pictures(device=str(device), precision="bf16"), exact, BF16_MEAN_LEVELS, 255),
    ):
        most, mean = compared(got, against)
        passed = most <= limit and mean <= mean_limit
        note = f"largest {most} (limit {limit}), mean {mean:.4f} (limit {mean_limit}) levels"
        yield {
            "profile": name,
            "size": SIZES[name][0],
            "mode": f"parity {mode}",
            "passed": passed,
            "largest": most,
            "mean": mean,
            "note": ("passed: " if passed else "FAILED: ") + note,
        }


def exported(chunks: int) -> Iterator[dict[str, Any]]:
    """Time the shipped model in ONNX Runtime's CUDA and TensorRT providers, if installed."""
    for provider in ("CUDAExecutionProvider", "TensorrtExecutionProvider"):
        row: dict[str, Any] = {"profile": "embedded", "size": SIZES["embedded"][0]}
        row |= {"mode": f"onnxruntime {provider}"}
        width, height = (int(side) for side in SIZES["embedded"][0].split("x"))
        try:
            with OnnxEngine(
                width=width, height=height, device="cuda", providers=[provider]
            ) as engine:
                for index in range(chunks + 3):
                    engine.realize(chunk_of(engine, index))
                times = engine.timings
            stages = {stage: 1e3 * statistics.median(times[stage][3:]) for stage in STAGES}
            row |= {**stages, "chunk_ms": sum(stages.values())}
            row["fps"] = 1e3 * engine.spec.frames / row["chunk_ms"]
        except Exception as error:  # providers raise errors of many types
            row["note"] = one_line(error)
        yield row


def other_engines() -> Iterator[dict[str, Any]]:
    """Yield which other engines are installed, or why not."""
    for module, what in (("onnxruntime", "ONNX Runtime"), ("tensorrt", "TensorRT")):
        try:
            found = importlib.import_module(module)
            note = f"{what} {found.__version__}"
            if module == "onnxruntime":
                note += " with " + ", ".join(found.get_available_providers())
        except Exception as error:  # a broken installation raises errors of many types
            note = f"unavailable: {one_line(error)}"
        yield {"profile": "-", "mode": module, "note": note}


def run_profile(
    name: str,
    sizes: tuple[str, ...],
    modes: Sequence[str],
    device: torch.device,
    chunks: int,
    report: Report,
) -> None:
    """Add the rows of a profile; an error is a row."""
    begin = time.perf_counter()
    try:
        networks = random_networks(profile_of(name), device, bf16=True)
    except RuntimeError as error:
        report.add({"profile": name, "mode": "weights", "note": one_line(error)})
        return
    print(f"{name}: weights in {time.perf_counter() - begin:.1f} s", flush=True)
    for size in sizes:
        for variant in variants_of(name, size, modes):
            try:
                row = measure(variant, networks, device, chunks)
            except Exception as error:  # any error; the other variants are still measured
                row = {**asdict(variant), "size": size, "note": one_line(error)}
            for block in (*networks[1].blocks, networks[0].encoder, networks[0].decoder):
                block._compiled_call_impl = None  # eager again; compiled code stays cached
            report.add(row)
            gc.collect()
            if device.type == "cuda":
                torch.cuda.empty_cache()


def main() -> None:
    """Measure as many variants as the time limit allows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profiles", default=",".join(ORDER))
    parser.add_argument("--sizes", help="WIDTHxHEIGHT,... of every profile instead of its own")
    parser.add_argument("--modes", default="graphs,compiled,eager")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--chunks", type=int, default=12, help="timed in the steady state")
    parser.add_argument("--limit-s", type=float, default=270.0)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    device, modes = torch.device(arguments.device), arguments.modes.split(",")

    def over(number: int, frame: Any) -> None:
        raise LimitReached

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, arguments.limit_s, 5.0)  # repeated, in case one is lost
    report = Report(arguments.out, {})
    try:
        report.facts = facts_of(device)
        print(json.dumps(report.facts, indent=2), flush=True)
        for row in other_engines():
            report.add(row)
        for name in arguments.profiles.split(","):
            sizes = tuple(arguments.sizes.split(",")) if arguments.sizes else SIZES[name]
            run_profile(name, sizes, modes, device, arguments.chunks, report)
            torch.compiler.reset()
            if name in ("embedded", "tiny"):
                try:
                    for row in parity(name, device):
                        report.add(row)
                except RuntimeError as error:
                    report.add({"profile": name, "mode": "parity", "note": one_line(error)})
        if device.type == "cuda":
            for row in exported(arguments.chunks):
                report.add(row)
    except LimitReached:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        report.add({"profile": "-", "note": f"stopped at the time limit of {arguments.limit_s} s"})


if __name__ == "__main__":
    main()
