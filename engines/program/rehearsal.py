"""The parity gate: prepared graphs and the chunk program on the host, against the ONNX engine.

It runs before anything is compiled, on a few tokens, whatever the size of the plans: exported
graphs leave the picture size dynamic until they are prepared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.engines.onnx_engine import OnnxEngine
from realmaster_live.engines.program.chunk_program import ChunkProgram
from realmaster_live.engines.program.fp8 import Peaks
from realmaster_live.engines.program.host_device import HostDevice, realize_on_host
from realmaster_live.engines.program.prepare import prepare_graphs, read_prompts, sizes_of
from realmaster_live.errors import BuildError
from realmaster_live.frames.chunk import Chunk

ROWS, COLUMNS = 2, 3  # the rehearsal's picture size in tokens
GATES = {  # tolerances in levels of 255: the largest difference, the mean
    **{"fp32": (1.0, 0.02), "bf16": (6.0, 0.25)},
    "fp8": (8.0, 1.0),
}


def rehearse(
    exported: Path,
    manifest: Mapping[str, Any],
    *,
    precision: str,
    parameters: Mapping[str, NDArray[np.float32]] | None = None,
    peaks: Peaks | None = None,
) -> dict[str, float]:
    """Return how far the program on the host is from the ONNX engine, in levels of 255.

    The chunks cover every length of the past and wrap round the ring once. fp8 needs torch's
    parameters and the peaks of a calibration.

    Raises:
        BuildError: the difference is beyond the precision's tolerance.
    """
    stride = manifest["token_stride"]
    width, height = COLUMNS * stride, ROWS * stride
    sizes = sizes_of(manifest, width=width, height=height, steps=manifest["steps"])
    with tempfile.TemporaryDirectory() as folder:
        prepared = prepare_graphs(
            exported,
            Path(folder),
            sizes,
            precision=precision,
            emulate=precision != "fp32",
            parameters=parameters,
            peaks=peaks,
        )
        program = ChunkProgram(prepared.ports, sizes)
        device = HostDevice(program, Path(folder))
        prompts = list(read_prompts(exported, manifest).values())
        if "prompt_kv" in program.external:
            device.set_external("prompt_kv", prompts[0])

        def realize(chunk: Chunk, reset: bool) -> NDArray[np.uint8]:
            return realize_on_host(program, device, chunk.frames, reset=reset)

        with OnnxEngine(exported, width=width, height=height, seed=0) as engine:
            return compare(engine, realize, sizes.sink + 2 * sizes.ring + 1, precision)


def compare(
    truth: Any,  # an engine
    realize: Callable[[Chunk, bool], NDArray[np.uint8]],
    chunks: int,
    precision: str,
) -> dict[str, float]:
    """Return the largest and the mean difference to an engine, over chunks of random frames.

    Raises:
        BuildError: one of them is beyond the precision's tolerance.
    """
    largest, means = 0.0, []
    for index in range(chunks):
        chunk = noise_chunk(truth.spec, index)
        expected = truth.realize(chunk).frames.astype(np.int16)
        got = realize(chunk, index == 0).astype(np.int16)
        difference = np.abs(got - expected)
        largest = max(largest, float(difference.max()))
        means.append(float(difference.mean()))
    figures = {"levels": largest, "mean_levels": float(f"{np.mean(means):.3g}")}
    for name, limit in zip(figures, GATES[precision], strict=True):
        if not figures[name] <= limit:
            raise BuildError(
                f"expected {name} of {precision} within {limit} of ONNX Runtime, got "
                f"{figures[name]:.3g}: build with --precision fp32, or report the versions"
            )
    return {**figures, "chunks": float(chunks)}


def noise_chunk(spec: Any, index: int) -> Chunk:
    """Return a chunk of random frames, seeded by its number."""
    count = spec.frames if index else spec.first_frames
    shape = (count, spec.height, spec.width, 3)
    return Chunk(
        index=index,
        camera="parity",
        frames=np.random.default_rng(index).integers(0, 256, shape, np.uint8),
        frame_ids=np.arange(count) + index * count,
        timestamps=np.arange(count) / spec.fps,
        captured_at=np.zeros(count),
        intrinsics=np.eye(3),
        cam_to_world=np.tile(np.eye(4), (count, 1, 1)),
        labels={},
    )
