"""FP8 calibration: records activations' largest magnitudes while the program runs on the host."""

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
from realmaster_live.model.profile import Profile


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The result of a calibration.

    Attributes:
        peaks: graph -> activation -> the largest magnitude seen.
        source: hash and counts of the frames, as stored in a build's manifest.
    """

    peaks: Peaks
    source: dict[str, Any]


class PeakRecorder(HostDevice):
    """A host device that records the maximum of the graphs' peak outputs over all runs."""

    def __init__(
        self, program: ChunkProgram, folder: Path, peaks_by_graph: dict[str, NDArray[np.float32]]
    ) -> None:
        """Open the graphs of a folder; `peaks_by_graph` is filled by graph."""
        super().__init__(program, folder)
        self._peaks_by_graph = peaks_by_graph

    def run(self, graph: str, past: int, addresses: Mapping[str, int]) -> None:
        """Run a graph and update its peaks."""
        super().run(graph, past, addresses)
        for port in self._program.graphs[graph].outputs:
            if port.name == f"{PEAKS}.{graph}":
                peaks = self.read(port.name, port.at(0), np.float32)
                self._peaks_by_graph[graph] = np.maximum(
                    self._peaks_by_graph.get(graph, peaks), peaks
                )


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
        samples: clips of any sizes that the model accepts; evenly spaced ones are used.
        parameters: torch's parameters by name; the blocks' weights are matched by value.

    Raises:
        BuildError: there are no samples, or all are shorter than a chunk.
        EngineError: the model does not accept a sample's size.
    """
    chosen = choose(samples, precision="fp8")
    profile = Profile.from_dict(manifest["profile"])
    count, short = profile.chunk_frames, profile.chunk_frames - profile.first_frames
    if all(len(sample.sim) < count for sample in chosen):
        raise BuildError(
            f"expected clips of {count} frames or more to calibrate fp8 on, got none: give longer "
            "ones to --calibrate"
        )
    peaks_by_graph: dict[str, NDArray[np.float32]] = {}
    observed: dict[str, list[str]] = {}
    digest, chunks = hashlib.sha256(), 0
    for height, width in sorted({sample.sim.shape[1:3] for sample in chosen}):
        check_size(width, height, manifest["token_stride"])
        sizes = sizes_of(manifest, width=width, height=height, steps=manifest["steps"])
        with tempfile.TemporaryDirectory() as folder:
            program, device = _open(
                exported,
                Path(folder),
                sizes,
                parameters,
                observed=observed,
                peaks_by_graph=peaks_by_graph,
            )
            prompts = read_prompts(exported, manifest)
            for sample in chosen:
                if sample.sim.shape[1:3] != (height, width):
                    continue
                if prompts:
                    first = next(iter(prompts.values()))
                    device.set_external("prompt_kv", prompts.get(sample.prompt, first))
                film = np.concatenate((np.repeat(sample.sim[:1], short, 0), sample.sim))
                for start in range(0, min(len(film) // count, CHUNKS) * count, count):
                    frames = np.ascontiguousarray(film[start : start + count])
                    realize_on_host(program, device, frames, reset=start == 0)
                    digest.update(frames.tobytes())
                    chunks += 1
    return Calibration(
        peaks={
            graph: dict(zip(observed[graph], map(float, values), strict=True))
            for graph, values in peaks_by_graph.items()
        },
        source={"frames_sha256": digest.hexdigest(), "clips": len(chosen), "chunks": chunks},
    )


def _open(
    exported: Path,
    folder: Path,
    sizes: Sizes,
    parameters: Mapping[str, NDArray[np.float32]],
    *,
    observed: dict[str, list[str]],
    peaks_by_graph: dict[str, NDArray[np.float32]],
) -> tuple[ChunkProgram, PeakRecorder]:
    """Return a program with graphs that output their peaks, and the device that runs it."""
    prepared = prepare_graphs(
        exported,
        folder,
        sizes,
        precision="bf16",
        emulate=True,
        parameters=parameters,
        observed=observed,
    )
    program = ChunkProgram(prepared.ports, sizes)
    device = PeakRecorder(program, folder, peaks_by_graph)
    return program, device
