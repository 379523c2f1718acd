"""The parity gate: prepared graphs and the chunk program on the host, against the ONNX engine.

It runs before anything is compiled, on a few tokens, whatever the size of the plans: exported
graphs leave the picture size dynamic until they are prepared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.engines.guides import guides_of
from realmaster_live.engines.manifest import read_prompts
from realmaster_live.engines.onnx_engine import OnnxEngine
from realmaster_live.engines.program.chunk_program import ChunkProgram, Sizes
from realmaster_live.engines.program.host_device import HostDevice, realize_on_host
from realmaster_live.engines.program.prepare import prepare_graphs, sizes_of
from realmaster_live.errors import BuildError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.classes import CLASS_NAMES
from realmaster_live.frames.geometry import pinhole
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.model.light_guide import PERCENTAGES
from realmaster_live.model.profile import Profile

FIGURES = ("levels", "mean_levels")
Realized = tuple[Chunk, NDArray[np.uint8]]  # a rendered chunk, and its realized frames
ROWS, COLUMNS = 2, 3  # the rehearsal's picture size in tokens
GATES = {"fp32": (1.0, 0.02), "bf16": (6.0, 0.25)}
"""Tolerances in levels of 255: the largest difference, the mean."""
SLACK = 1.5  # times what torch in the same precision is off by, where that is more than the gate
OpenTorch = Callable[[int, int], AbstractContextManager[Any]]  # width, height -> an engine


def rehearse(
    exported: Path,
    manifest: Mapping[str, Any],
    *,
    precision: str,
    torch_engine: OpenTorch | None = None,
) -> dict[str, float]:
    """Return the difference of the program on the host from the ONNX engine, in levels of 255.

    The chunks cover every length of the past and wrap round the ring once. There are at least two,
    as the autoencoder's memory goes from one to the next. To save memory, the engine is closed
    before the program starts, and both read their weights from the files.

    Some networks amplify the rounding to bfloat16. So where the program exceeds the precision's
    tolerance and `torch_engine` is given, torch realizes the same chunks in that precision. Its own
    difference is then among the figures, and `limits` returns what is accepted.

    Raises:
        BuildError: the difference is beyond that.
    """
    stride = manifest["token_stride"]
    width, height = COLUMNS * stride, ROWS * stride
    sizes = sizes_of(manifest, width=width, height=height, steps=manifest["steps"])
    chunks = max(sizes.sink + 2 * sizes.ring + 1, 2)
    with OnnxEngine(exported, width=width, height=height, seed=0, lean=True) as engine:
        expected = [realize_noise(engine, index) for index in range(chunks)]
    figures = _on_host(exported, manifest, sizes, precision, expected)
    if torch_engine is not None and is_beyond(figures, GATES[precision]):
        with torch_engine(width, height) as engine:
            own = differences(expected, lambda chunk, reset: engine.realize(chunk).frames)
        figures |= {f"torch_{name}": own[name] for name in FIGURES}
    check(figures, limits(precision, figures), precision)
    return figures


def _on_host(
    exported: Path,
    manifest: Mapping[str, Any],
    sizes: Sizes,
    precision: str,
    expected: Iterable[Realized],
) -> dict[str, float]:
    """Return the difference of the prepared graphs from the ONNX engine's frames."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare_graphs(
            exported,
            Path(folder),
            sizes,
            precision=precision,
            emulate=precision != "fp32",
        )
        program = ChunkProgram(prepared.ports, sizes)
        profile = Profile.from_dict(manifest["profile"])
        device = HostDevice(program, Path(folder))
        prompts = list(read_prompts(exported, manifest).values())
        if "prompt_kv" in program.external:
            device.set_external("prompt_kv", prompts[0])
        return differences(
            expected,
            lambda chunk, reset: realize_on_host(
                program,
                device,
                chunk.frames,
                guides=guides_of(chunk, profile, profile.chunk_frames),
                reset=reset,
            ),
        )


def limits(precision: str, figures: Mapping[str, float]) -> tuple[float, float]:
    """Return the accepted differences: the precision's, or larger ones where torch's are larger."""
    own = [SLACK * figures.get(f"torch_{name}", 0.0) for name in FIGURES]
    largest, mean = (max(pair) for pair in zip(GATES[precision], own, strict=True))
    return largest, mean


def realize_noise(engine: Any, index: int) -> Realized:
    """Return a chunk of random frames, and an engine's frames for it."""
    chunk = noise_chunk(engine.spec, index)
    return chunk, engine.realize(chunk).frames


def differences(
    expected: Iterable[Realized], realize: Callable[[Chunk, bool], NDArray[np.uint8]]
) -> dict[str, float]:
    """Return the largest and the mean difference from realized chunks, in levels of 255.

    `realize` gets a chunk, and whether the past is to be forgotten first.
    """
    largest, means = 0.0, []
    for index, (chunk, frames) in enumerate(expected):
        got = realize(chunk, index == 0).astype(np.int16)
        difference = np.abs(got - frames.astype(np.int16))
        largest = max(largest, float(difference.max()))
        means.append(float(difference.mean()))
    mean = float(f"{np.mean(means):.3g}")
    return {"levels": largest, "mean_levels": mean, "chunks": float(len(means))}


def is_beyond(figures: Mapping[str, float], most: tuple[float, float]) -> bool:
    """Return whether a difference is more than is accepted, or not a number."""
    return not all(figures[name] <= limit for name, limit in zip(FIGURES, most, strict=True))


def check(figures: Mapping[str, float], most: tuple[float, float], precision: str) -> None:
    """Raise BuildError where a difference is more than is accepted."""
    for name, limit in zip(FIGURES, most, strict=True):
        if not figures[name] <= limit:
            raise BuildError(
                f"expected {name} of {precision} within {limit:.3g} of ONNX Runtime, got "
                f"{figures[name]:.3g}: build with --precision fp32, or report the versions"
            )


def turning(number: int) -> NDArray[np.float64]:  # (4, 4)
    """Return the pose of a level camera that turns left, by a fifth of a radian each frame."""
    angle = 0.2 * number
    ahead = [np.cos(angle), np.sin(angle), 0.0]
    pose = np.eye(4)
    pose[:3, :3] = np.stack([[ahead[1], -ahead[0], 0.0], [0.0, 0.0, -1.0], ahead], 1)
    return pose


def noise_chunk(spec: Any, index: int) -> Chunk:
    """Return a chunk of random frames, depths, classes and light, seeded by its number."""
    count = spec.frames if index else spec.first_frames
    shape = (count, spec.height, spec.width, 3)
    rng = np.random.default_rng(index)
    angles = {"sun_azimuth_angle": 360.0, "sun_altitude_angle": 90.0}
    weather = {name: most * rng.random() for name, most in angles.items()} | {
        name: 100.0 * rng.random() for name in PERCENTAGES
    }
    return Chunk(
        index=index,
        camera="parity",
        frames=rng.integers(0, 256, shape, np.uint8),
        frame_ids=np.arange(count) + index * count,
        timestamps=np.arange(count) / spec.fps,
        captured_at=np.zeros(count),
        intrinsics=pinhole(spec.width, spec.height, 90.0),
        cam_to_world=np.stack([turning(index * count + frame) for frame in range(count)]),
        labels={
            "depth": rng.uniform(1.0, 100.0, shape[:3]).astype(np.float32),
            "semantic": rng.integers(0, len(CLASS_NAMES), shape[:3], np.uint8),
        },
        sources=(SourceInfo(weather=weather),) * count,
    )
