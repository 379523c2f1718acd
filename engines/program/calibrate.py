"""Magnitudes of the activations that FP8 needs: a chunk's program on the host, listened to."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.engines.export.quantize import CHUNKS, Sample, choose
from realmaster_live.engines.program.chunk_program import ChunkProgram, Sizes
from realmaster_live.engines.program.fp8 import PEAKS, Peaks
from realmaster_live.engines.program.host_device import HostDevice, realize_on_host
from realmaster_live.engines.program.prepare import prepare_graphs, read_prompts, sizes_of
from realmaster_live.engines.sizes import check_size
from realmaster_live.errors import BuildError


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What a calibration found.

    Attributes:
        peaks: graph -> activation -> the largest magnitude seen.
        source: hash and numbers of the frames, as a build's manifest has them.
    """

    peaks: Peaks
    source: dict[str, Any]


class Listener(HostDevice):
    """Keeps the largest of every peak that the graphs tell, over all of their passes."""

    def __init__(
        self, program: ChunkProgram, folder: Path, found: dict[str, NDArray[np.float32]]
    ) -> None:
        """Open the graphs of a folder; `found` is filled by graph."""
        super().__init__(program, folder)
        self._found = found

    def run(self, graph: str, past: int, addresses: Mapping[str, int]) -> None:
        """Run a graph and keep its peaks."""
        super().run(graph, past, addresses)
        for port in self._program.graphs[graph].outputs:
            if port.name == f"{PEAKS}.{graph}":
                peaks = self.read(port.name, port.at(0), np.float32)
                self._found[graph] = np.maximum(self._found.get(graph, peaks), peaks)


def calibrate(
    exported: Path,
    manifest: Mapping[str, Any],
    samples: Sequence[Sample],
    parameters: Mapping[str, NDArray[np.float32]],
) -> Calibration:
    """Return the peaks of the blocks' activations over the first chunks of samples, in bfloat16.

    Args:
        exported: folder of an export.
        manifest: the export's own.
        samples: clips of any sizes that the model takes; those that lie evenly are used.
        parameters: torch's, by whose values the blocks' weights are found.

    Raises:
        BuildError: there are no samples, or none is as long as a chunk.
        EngineError: the model does not take a sample's size.
    """
    chosen = choose(samples, precision="fp8")
    count = manifest["profile"]["chunk_frames"]
    if all(len(sample.sim) < count for sample in chosen):
        raise BuildError(
            f"expected clips of {count} frames or more to calibrate fp8 on, got none: give longer "
            "ones to --calibrate"
        )
    found: dict[str, NDArray[np.float32]] = {}
    heard: dict[str, list[str]] = {}
    digest, chunks = hashlib.sha256(), 0
    for height, width in sorted({sample.sim.shape[1:3] for sample in chosen}):
        check_size(width, height, manifest["token_stride"])
        sizes = sizes_of(manifest, width=width, height=height, steps=manifest["steps"])
        with tempfile.TemporaryDirectory() as folder:
            program, device = _open(
                exported, Path(folder), sizes, parameters, heard=heard, found=found
            )
            prompts = read_prompts(exported, manifest)
            for sample in chosen:
                if sample.sim.shape[1:3] != (height, width):
                    continue
                if prompts:
                    first = next(iter(prompts.values()))
                    device.give("prompt_kv", prompts.get(sample.prompt, first))
                for start in range(0, min(len(sample.sim) // count, CHUNKS) * count, count):
                    frames = np.ascontiguousarray(sample.sim[start : start + count])
                    realize_on_host(program, device, frames, fresh=start == 0)
                    digest.update(frames.tobytes())
                    chunks += 1
    return Calibration(
        peaks={
            graph: dict(zip(heard[graph], map(float, values), strict=True))
            for graph, values in found.items()
        },
        source={"frames_sha256": digest.hexdigest(), "clips": len(chosen), "chunks": chunks},
    )


def _open(
    exported: Path,
    folder: Path,
    sizes: Sizes,
    parameters: Mapping[str, NDArray[np.float32]],
    *,
    heard: dict[str, list[str]],
    found: dict[str, NDArray[np.float32]],
) -> tuple[ChunkProgram, Listener]:
    """Return a program and what runs it, whose graphs tell their peaks."""
    prepared = prepare_graphs(
        exported,
        folder,
        sizes,
        precision="bf16",
        emulate=True,
        parameters=parameters,
        heard=heard,
    )
    program = ChunkProgram(prepared.ports, sizes)
    device = Listener(program, folder, found)
    return program, device
