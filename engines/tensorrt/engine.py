"""Runs a build's plans with TensorRT on an NVIDIA GPU, on preallocated buffers.

No memory is allocated per chunk. Upload, compute and download have their own streams. The pass that
fills the ring runs after the caller has received the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.engines.guides import guides_of
from realmaster_live.engines.manifest import read_prompts
from realmaster_live.engines.noise import ChunkNoise
from realmaster_live.engines.onnx_engine import NOTHING_REALIZED, STAGES
from realmaster_live.engines.program.chunk_program import MEMORIES, ChunkProgram, Ports, Sizes
from realmaster_live.engines.program.graph_weights import round_to_bfloat16
from realmaster_live.engines.sizes import check_frames, filled, spec_of, spec_text
from realmaster_live.engines.tensorrt.compilers import Plan, find_flavour
from realmaster_live.engines.tensorrt.cuda_driver import RecordedGraph, find_gpu
from realmaster_live.engines.tensorrt.cuda_memory import CudaMemory
from realmaster_live.engines.tensorrt.plans import GRAPHS_FOLDER, check_fits, read_manifest
from realmaster_live.errors import EngineError
from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.model.profile import Profile
from realmaster_live.prompts import AS_SIMULATED, Fade, check_prompt, with_prompt


class TrtDevice:
    """Runs a program's graphs as TensorRT plans, ordered on one stream."""

    def __init__(
        self, plans: Mapping[str, Plan], memory: CudaMemory, lengths: tuple[int, ...]
    ) -> None:
        """Open each plan's contexts, one for each length of the past, with one scratch memory."""
        self._memory, self._plans = memory, plans
        scratch = memory.add(max(plan.scratch_bytes for plan in plans.values()))
        self._contexts = {
            (name, past): plan.open(place, past, scratch, memory.compute.handle)
            for name, plan in plans.items()
            for place, past in enumerate(lengths)
            if place == 0 or plan.takes_past
        }
        memory.compute.synchronize()
        self.copy, self.copy_rows = memory.copy, memory.copy_rows

    def run(self, graph: str, past: int, addresses: Mapping[str, int]) -> None:
        """Enqueue a graph on the stream."""
        context = self._contexts[graph, past if self._plans[graph].takes_past else 0]
        for name, address in addresses.items():
            context.set_tensor_address(name, address)
        if not context.execute_async_v3(self._memory.compute.handle):
            raise EngineError(
                f"expected TensorRT to run {graph}, got {self._plans[graph].last_error}: "
                "run realmaster build again"
            )


class TrtEngine:
    """Realizes chunks with plans that `realmaster build` made on this machine.

    Attributes:
        name: the build's folder. device: the GPU's index.
        manifest: the description of the model, and of what the plans were built for.
        profile: the model's sizes.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        width: int | None = None,  # pixels
        height: int | None = None,  # pixels
        fps: float = 20.0,
        steps: int | None = None,
        seed: int = 0,
        device: int = 0,
        graphs: bool = True,
        prompt: str | None = None,
    ) -> None:
        """Load a build's folder; size, steps and prompt default to those of the build.

        `device` is the GPU's index. With `graphs`, each stage is captured once and launched as one
        CUDA graph.

        Raises:
            PlanMismatch: the build is for another GPU, driver, compiler or picture size.
            BuildError: the folder holds no build of this user, or a file of it was changed.
        """
        self._folder = Path(folder)
        self.name, self.device = str(folder), device
        self.manifest = manifest = read_manifest(self._folder)
        gpu = find_gpu(device)
        if gpu is None:
            raise EngineError(
                f"expected an NVIDIA GPU for the plans in {self._folder}, got none: use the folder "
                f"{self._folder / GRAPHS_FOLDER}, which runs on the CPU"
            )
        flavour = self._flavour = find_flavour(manifest["flavour"], gpu=True)
        present = {"flavour": flavour.name, "version": flavour.version, "sm": gpu.sm}
        present |= {"driver": gpu.driver, "width": width, "height": height}
        # sm and driver are None in builds that were made without a GPU
        unchecked = {name for name in ("sm", "driver") if manifest[name] is None}
        unchecked |= {name for name in ("width", "height") if present[name] is None}
        checked = {name: value for name, value in present.items() if name not in unchecked}
        check_fits(manifest, checked, self._folder)
        self._steps = steps or manifest["steps"]
        self.profile = profile = Profile.from_dict(
            manifest["profile"], source=f"the profile in {folder}"
        )
        self._spec = spec_of(profile, manifest["width"], manifest["height"], fps)
        ports = {name: Ports.from_dict(each) for name, each in manifest["graphs"].items()}
        self._program = ChunkProgram(ports, self._sizes())
        self._noise = ChunkNoise(self._program.latent.at(0), seed)
        self._plans: dict[str, Plan] = {}
        self._graphs = graphs
        self.prompts = read_prompts(self._folder / GRAPHS_FOLDER, manifest)
        first = prompt or next(iter(self.prompts), AS_SIMULATED)
        check_prompt(first, self.prompts or (AS_SIMULATED,))
        self._fade = Fade(first)
        self._shown = self._fade_start = self.prompts.get(first)
        self._begin()

    def _begin(self) -> None:
        """Make what no other engine shares, and run each stage once."""
        self._memory: CudaMemory | None = None
        self._device: TrtDevice | None = None
        self._events: dict[str, tuple[Any, Any]] = {}
        self._recorded: dict[tuple[str, int], RecordedGraph] | None = None
        self._seconds: dict[str, list[float]] = {}
        self._pending: list[str] = []
        self._due = self._taken = 0  # frames of the next chunk and of the one before
        self._open()
        self.reset()
        self._warm_up()
        if self._graphs:
            self._recorded = {}
            self._warm_up()

    def __repr__(self) -> str:
        """Return text that names build, size, steps and GPU."""
        size = spec_text(self._spec)
        return f"TrtEngine({self.name}, {size}, {self._steps} steps, cuda:{self.device})"

    @property
    def spec(self) -> ChunkSpec:
        """The chunks this engine takes."""
        return self._spec

    @property
    def timings(self) -> dict[str, list[float]]:
        """Return stage -> seconds of every chunk since the last reset; waits for the device.

        The clock is CUDA's; `commit` runs while the caller already has the frames.
        """
        self._collect()
        return self._seconds

    def set_prompt(self, prompt: str, fade_chunks: int = 0) -> None:
        """Apply a prompt from the next chunk on, after a cross-fade over `fade_chunks` chunks."""
        check_prompt(prompt, self.prompts or (AS_SIMULATED,))
        self._fade.start(prompt, fade_chunks)
        self._fade_start = self._shown

    @property
    def seed(self) -> int:
        """The seed of the noise."""
        return self._noise.seed

    def set_seed(self, seed: int) -> None:
        """Draw the noise from another seed, from the next chunk on."""
        self._noise.reseed(seed)

    def reset(self) -> None:
        """Clear the past and the timings; the prompt stays."""
        self._collect()
        self._seconds = {stage: [] for stage in STAGES}
        self._program.reset()
        self._noise.reset()
        self._due = self._spec.first_frames
        if self._memory is not None:
            layout = self._program.layout
            with self._memory.current():
                for name in MEMORIES:
                    self._memory.clear(self._memory.base + layout.offset(name), layout.size(name))

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the chunk with photoreal frames, given the earlier chunks since `reset`."""
        stride = self._spec.height // self._program.sizes.rows
        check_frames(chunk, self._spec, stride, self._due)
        memory = self._opened()
        if self._fade.step() and self.prompts:
            new, weight = self.prompts[self._fade.prompt], np.float32(self._fade.weight)
            assert self._fade_start is not None
            mixed = self._fade_start * (1 - weight) + new * weight
            self._shown = new if weight == 1.0 else mixed
            self._collect()  # the last commit may still be reading the previous prompt
            with memory.current():
                self._write_prompt(memory)
        frames = self._advance(filled(chunk.frames, self._spec.frames), chunk)
        self._due, self._taken = self._spec.frames, len(chunk)
        return self._with_provenance(chunk, frames, self._noise.seed)

    def realize_again(self, chunk: Chunk, seed: int) -> Chunk:
        """Realize the last chunk once more, from the noise of another seed."""
        memory = self._opened()
        if not self._program.pending:
            raise EngineError(NOTHING_REALIZED)
        check_frames(chunk, self._spec, self._spec.height // self._program.sizes.rows, self._taken)
        self._collect()  # the last commit may still be reading the noise
        with memory.current():
            memory.write(
                memory.base + self._program.layout.offset("noise"), self._noise.redraw(seed)
            )
            answer = self._from_noise(memory)
        return self._with_provenance(chunk, answer, seed)

    def sibling(self) -> TrtEngine:
        """Return an engine over the same plans, with memory, contexts and a past of its own."""
        self._opened()
        other = copy(self)
        other._program = ChunkProgram(self._program.graphs, self._program.sizes)
        other._noise, other._fade = copy(self._noise), copy(self._fade)
        other._begin()
        return other

    def close(self) -> None:
        """Release all memory, and the plans with the last sibling; may be called twice."""
        if self._memory is None:
            return
        self._collect()
        with self._memory.current():
            for recorded in (self._recorded or {}).values():
                recorded.close()
            self._recorded, self._device = None, None
            self._plans = {}
            self._events.clear()
        self._memory.close()
        self._memory = None

    def __enter__(self) -> TrtEngine:
        """Return self."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def _sizes(self) -> Sizes:
        """Return the build's sizes, with the noise levels for this number of steps."""
        fields = dict(self.manifest["sizes"])
        levels = self.manifest["sigmas"]
        if str(self._steps) not in levels:
            raise EngineError(
                f"expected steps among {', '.join(levels)}, got {self._steps}: choose one of them"
            )
        fields["sigmas"] = tuple(levels[str(self._steps)])
        fields["rope_widths"] = tuple(fields["rope_widths"])
        return Sizes(**fields)

    def _open(self) -> None:
        """Allocate the memory, write the constants, and open the plans unless a sibling has."""
        program, spec = self._program, self._spec
        frames = (spec.frames, spec.height, spec.width, 3)
        self._memory = memory = CudaMemory(program.layout.bytes, frames, index=self.device)
        with memory.current():
            for name, values in program.constants.items():
                memory.write(memory.base + program.layout.offset(name), values)
            self._write_prompt(memory)
            self._plans = self._plans or {
                name: Plan(
                    self._flavour,
                    (self._folder / file).read_bytes(),
                    name,
                    program.graphs[name],
                )
                for name, file in self.manifest["plans"].items()
            }
            self._device = TrtDevice(self._plans, memory, program.sizes.lengths)
            self._events = {stage: (memory.event(), memory.event()) for stage in STAGES}

    def _write_prompt(self, memory: CudaMemory) -> None:
        """Write the current prompt's keys and values to the buffer that the graphs read."""
        if "prompt_kv" in self._program.external and self._shown is not None:
            self._write(memory, "prompt_kv", self._shown)

    def _write(self, memory: CudaMemory, name: str, values: NDArray[Any]) -> None:
        """Write an external input of the program, converted to the input's type."""
        narrow = self._program.external[name].dtype == "bfloat16"
        place = memory.base + self._program.layout.offset(name)
        memory.write(place, round_to_bfloat16(values) if narrow else values)

    def _opened(self) -> CudaMemory:
        """Return the device memory; raise EngineError after `close`."""
        if self._memory is None:
            raise EngineError("expected an open engine, got a closed one: make a new TrtEngine")
        return self._memory

    def _with_provenance(self, chunk: Chunk, frames: NDArray[np.uint8], seed: int) -> Chunk:
        """Return the chunk with photoreal frames, and the prompt and seed that made them."""
        realized = chunk.with_frames(frames[-len(chunk) :])
        return replace(with_prompt(realized, self._fade), seed=seed)

    def _advance(self, frames: NDArray[np.uint8], chunk: Chunk | None) -> NDArray[np.uint8]:
        """Return the photoreal frames of a padded chunk and advance the state."""
        memory, program = self._opened(), self._program
        self._collect()
        with memory.current():
            if program.pending:
                self._launch("settle", memory)
                program.advance()
            memory.write(memory.base + program.layout.offset("noise"), self._noise.take())
            if chunk is not None:
                for name, values in guides_of(chunk, self.profile, len(frames)).items():
                    self._write(memory, name, values)
            memory.send(frames, memory.base + program.layout.offset("captured"))
            for stage in STAGES[:2]:
                self._run(memory, stage)
            return self._from_noise(memory)

    def _from_noise(self, memory: CudaMemory) -> NDArray[np.uint8]:
        """Realize the last encoded chunk from the noise in the buffer."""
        for stage in STAGES[2:-1]:
            self._run(memory, stage)
        memory.start_receiving(memory.base + self._program.layout.offset("realized"))
        self._run(memory, STAGES[-1])
        self._program.pending = True
        return memory.received()

    def _run(self, memory: CudaMemory, stage: str) -> None:
        """Enqueue a stage on the compute stream between two timing events."""
        start, end = self._events[stage]
        start.record(memory.compute)
        self._launch(stage, memory)
        end.record(memory.compute)
        self._pending.append(stage)

    def _launch(self, stage: str, memory: CudaMemory) -> None:
        """Enqueue a stage, or `settle`, on the compute stream, as a CUDA graph if enabled."""
        device, base = self._device, memory.base
        assert device is not None
        work: Callable[[Any, int], None] = getattr(self._program, stage)
        if self._recorded is None:
            work(device, base)
            return
        key = stage, self._program.slots.chunks
        if key not in self._recorded:
            stream = memory.compute.handle
            self._recorded[key] = RecordedGraph(stream, lambda: work(device, base))
        self._recorded[key].launch()

    def _warm_up(self) -> None:
        """Run a chunk in every state of the past, then reset."""
        spec = self._spec
        black = np.zeros((spec.frames, spec.height, spec.width, 3), np.uint8)
        for _ in range(len(self._program.slots.states()) + 1):  # `settle` of the last chunk
            self._advance(black, None)
        self.reset()

    def _collect(self) -> None:
        """Wait for the last chunk and record its stages' durations."""
        if self._memory is None or not self._pending:
            return
        with self._memory.current():
            for stage in self._pending:
                start, end = self._events[stage]
                end.synchronize()
                self._seconds[stage].append(start.time_till(end) / 1e3)
        self._pending = []
