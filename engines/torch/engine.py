"""Torch, eager or compiled, on the CPU or a CUDA device: the reference for all other engines.

It takes a checkpoint as training wrote it, so nothing has to be exported first.

Legend: T frames of a chunk, H W pixels, P tokens of the past, M tokens of a prompt.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.attention import sdpa_kernel

from realmaster_live.engines.onnx_engine import NOTHING_REALIZED, STAGES
from realmaster_live.engines.sizes import check_frames, check_size, spec_text
from realmaster_live.engines.torch.buffers import Buffers
from realmaster_live.engines.torch.cuda_graphs import Graphs
from realmaster_live.engines.torch.device import (
    attention_kernels,
    exact_convolutions,
    find_device,
    out_of_memory,
)
from realmaster_live.engines.torch.expert import Expert, Passes, attach_file, known_prompts
from realmaster_live.engines.torch.stages import Stages
from realmaster_live.errors import BuildError, EngineError
from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.model.lora import Adapter
from realmaster_live.model.networks import Networks, check_experts, expert_at
from realmaster_live.model.precision import mix_precision
from realmaster_live.model.sampling import sigmas
from realmaster_live.prompts import AS_SIMULATED, Fade, check_prompt, with_prompt

Precision = Literal["fp32", "bf16"]
Adapters = Path | str | Sequence[Path | str | None]
STEP_CHOICES = (1, 2, 4)  # the same choices as an export has: every engine takes the same
WARM_RUNS = 2  # runs before a capture: libraries pick kernels and allocate memory in the first ones


def check_finite(module: nn.Module, name: str) -> None:
    """Raise BuildError if any tensor holds NaN or infinity."""
    for key, tensor in module.state_dict().items():
        wrong = int((~torch.isfinite(tensor)).sum())
        if wrong:
            raise BuildError(
                f"expected finite weights, got {wrong} of {tensor.numel()} values NaN or infinite "
                f"in {name}.{key}: use an earlier checkpoint of the run"
            )


def open_networks(checkpoint: Path | Networks) -> Networks:
    """Return the networks of a checkpoint folder, or the given ones; check that all are finite."""
    if isinstance(checkpoint, tuple):
        networks = checkpoint
    else:
        from realmaster_live.model.checkpoint import load_networks  # which needs safetensors

        networks = load_networks(checkpoint)
    autoencoder, *transformers = networks
    check_experts(transformers[0].profile, len(transformers))
    check_finite(autoencoder, "autoencoder")
    for place, transformer in enumerate(transformers):
        check_finite(transformer, f"transformer_{place + 1}" if place else "transformer")
    return networks


def adapter_files(adapter: Adapters | None, experts: int) -> list[Path | str | None]:
    """Return each expert's LoRA file; raise EngineError unless there is one for each expert."""
    if adapter is None:
        return [None] * experts
    files: list[Path | str | None] = []
    files += [adapter] if isinstance(adapter, (Path, str)) else adapter
    if len(files) != experts:
        raise EngineError(
            f"expected {experts} LoRA files, one an expert, got {len(files)}: give a sequence, the "
            "expert for the noisier timesteps first, with None for one without"
        )
    return files


class TorchEngine:
    """Realizes chunks with a checkpoint's networks.

    Use it from one thread: CUDA graphs belong to the thread that recorded them.

    Attributes:
        name: the checkpoint's folder, or "networks" where it was given networks.
        profile: the sizes of the model.
        device: where it runs.
        prompts: the prompts that it has embeddings of.
    """

    def __init__(
        self,
        checkpoint: Path | str | Networks,
        *,
        width: int,  # pixels
        height: int,  # pixels
        fps: float = 20.0,
        steps: int | None = None,
        seed: int = 0,
        device: str = "cpu",
        compile: bool = False,
        graphs: bool = True,
        threads: int = 0,
        precision: Precision = "fp32",
        recompute_reference: bool = False,
        prompt: str | None = None,
        prompts: Mapping[str, NDArray[np.float32]] | None = None,
        adapter: Adapters | None = None,
        strength: float = 1.0,
    ) -> None:
        """Load a checkpoint folder, or take over given networks and change them in place.

        `compile` compiles the blocks and the autoencoder, which takes a minute or so. `graphs`
        captures CUDA graphs on a CUDA device, and has no effect elsewhere. `threads` are CPU
        threads while a chunk is realized (0: torch's own number). `precision` bf16 is meant for
        CUDA: products, attention, keys and values are bfloat16; norms, rotations and the time
        embedder stay float32. `recompute_reference` computes the reference again in every pass,
        with the same result. `prompt` is the first prompt; `prompts` are embeddings (M, C) by
        name, besides those that the model learnt. `adapter` is a LoRA file, merged into the
        weights at `strength`; a profile of two experts takes a file for each. An expert that
        serves none of the steps is not moved to the device.
        """
        self.device = find_device(device)
        if precision not in get_args(Precision):
            raise EngineError(f"expected precision fp32 or bf16, got {precision!r}: use one")
        folder = None if isinstance(checkpoint, tuple) else Path(checkpoint)
        self.name = "networks" if folder is None else str(checkpoint)
        given = checkpoint if isinstance(checkpoint, tuple) else Path(checkpoint)
        autoencoder, *transformers = open_networks(given)
        profile = self.profile = transformers[0].profile
        files = adapter_files(adapter, profile.experts)
        stride = profile.token_stride
        check_size(width, height, stride)
        steps = profile.steps if steps is None else steps
        if steps not in STEP_CHOICES:
            raise EngineError(
                f"expected steps among {', '.join(map(str, STEP_CHOICES))}, got {steps}: "
                "choose one of them"
            )
        self._step_count = steps
        self._sigmas = sigmas(steps, profile.shift)
        self._spec = ChunkSpec(frames=profile.chunk_frames, height=height, width=width, fps=fps)
        self._threads, self._precision = threads, precision
        self._cuda = self.device.type == "cuda"
        self._graphs = Graphs() if graphs and self._cuda else None
        self._seconds: dict[str, list[float]] = {}
        self._pending: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
        levels = self._sigmas[:-1]
        places = sorted({expert_at(profile, t) for t in levels})
        tables = {each: known_prompts(transformers[each], folder, prompts or {}) for each in places}
        self.prompts = tables[places[0]]
        first = prompt or next(iter(self.prompts), AS_SIMULATED)
        self._check_prompt(first)
        self._fade, self._shown = Fade(first), first
        bf16 = precision == "bf16"
        with self._memory_checked():
            self._buffers: Buffers | None = Buffers(
                profile,
                self._spec,
                self.device,
                self._sigmas,
                seed,
                torch.bfloat16 if bf16 else torch.float32,
                len(self.prompts[first]) if self.prompts else 0,
                len(places),
            )
            experts = {}
            for place, state in zip(places, self._buffers.states, strict=True):
                file, network = files[place], transformers[place]
                experts[place] = Expert(
                    network,
                    self._buffers,
                    state,
                    prompts=tables[place],
                    adapter=None if file is None else attach_file(network, file, place),
                    recompute=recompute_reference,
                    passes=Passes.compiled() if compile else Passes(),
                )
            for part in (autoencoder, *(expert.transformer for expert in experts.values())):
                part.requires_grad_(False)
                if bf16:
                    mix_precision(part)
                part.to(self.device)
            for expert in experts.values():
                if expert.adapter is not None:
                    expert.adapter.strength = strength
                    expert.adapter.merge()
            self._attention = (
                attention_kernels(self.device, profile) if bf16 and self._cuda else None
            )
        self._recompute = recompute_reference
        self._stages: Stages | None = Stages(
            autoencoder,
            [experts[expert_at(profile, t)] for t in levels],
            self._buffers,
            self._sigmas,
        )
        if self.prompts:
            with self._running():
                self._show(first)
        if compile:
            for part in (autoencoder.encoder, autoencoder.decoder):
                part.compile(dynamic=False)
        self.reset()
        if compile or self._graphs is not None:
            self._warm_up()

    def __repr__(self) -> str:
        """Return text that names checkpoint, size, steps and device."""
        size = spec_text(self._spec)
        return f"TorchEngine({self.name}, {size}, {self._step_count} steps, {self.device})"

    @property
    def spec(self) -> ChunkSpec:
        """The chunks this engine takes."""
        return self._spec

    @property
    def timings(self) -> dict[str, list[float]]:
        """Return stage -> seconds of every chunk since the last reset; waits for the device.

        The stages are those of the ONNX engine. The clock is the host's monotonic one, or CUDA's
        events: there `commit` runs while the caller already has the frames.
        """
        self._collect()
        return self._seconds

    def reset(self) -> None:
        """Clear the past and the timings; the prompt stays."""
        self._collect()
        self._seconds = {stage: [] for stage in STAGES}
        if self._buffers is not None:
            self._buffers.reset()

    def set_prompt(self, prompt: str, fade_chunks: int = 0) -> None:
        """Apply a prompt from the next chunk on, after a cross-fade over `fade_chunks` chunks."""
        self._check_prompt(prompt)
        stages = self._open_stages()
        self._fade.start(prompt, fade_chunks)
        if self.prompts:
            with self._running():
                for expert in stages.experts:
                    expert.start_fade(prompt)

    @property
    def strength(self) -> float:
        """Return the strength at which adapters are merged; 0 is the base model, bit for bit."""
        return next((adapter.strength for adapter in self._adapters()), 0.0)

    def set_strength(self, strength: float) -> None:
        """Merge the adapters at another strength, from the next chunk on."""
        stages = self._open_stages()
        if not self._adapters():
            raise EngineError(
                f"expected an engine with an adapter, got none to set to {strength}: make the "
                "engine with adapter=FILE"
            )
        for expert in stages.experts:
            expert.set_strength(strength)
        if self.prompts and self._fade.weight in (0.0, 1.0):
            with self._running():
                self._show(self._shown)

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the chunk with photoreal frames, given the earlier chunks since `reset`."""
        check_frames(chunk, self._spec, self.profile.token_stride)
        return self._with_provenance(
            chunk, self._advance(chunk.frames), self._open_stages().buffers.draw.seed
        )

    def realize_again(self, chunk: Chunk, seed: int) -> Chunk:
        """Realize the last chunk once more, from the noise of another seed."""
        buffers = self._open_stages().buffers
        if not buffers.pending:
            raise EngineError(NOTHING_REALIZED)
        check_frames(chunk, self._spec, self.profile.token_stride)
        with self._running():
            buffers.noise.copy_(torch.from_numpy(buffers.draw.redraw(seed)))
            answer = self._from_noise()
        return self._with_provenance(chunk, answer, seed)

    def close(self) -> None:
        """Release the networks and all buffers; may be called twice."""
        self._collect()
        if self._graphs is not None:
            self._graphs.clear()
        self._buffers = self._stages = None
        if self._cuda:
            torch.cuda.empty_cache()

    def __enter__(self) -> TorchEngine:
        """Return self."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def _open_stages(self) -> Stages:
        """Return the stages; EngineError after `close`."""
        if self._stages is None:
            raise EngineError("expected an open engine, got a closed one: make a new TorchEngine")
        return self._stages

    def _adapters(self) -> list[Adapter]:
        """Return the experts' adapters."""
        experts = self._stages.experts if self._stages is not None else []
        return [expert.adapter for expert in experts if expert.adapter is not None]

    def _check_prompt(self, prompt: str) -> None:
        """Raise EngineError for a prompt without an embedding."""
        check_prompt(prompt, self.prompts or (AS_SIMULATED,))

    def _show(self, prompt: str, weight: float = 1.0) -> None:
        """Set every expert's prompt, or its interpolation with the previous prompt."""
        for expert in self._open_stages().experts:
            expert.show(prompt, weight)

    def _fade_on(self) -> None:
        """Advance the prompt fade by one chunk."""
        if not self._fade.step() or not self.prompts:
            return
        prompt, weight = self._fade.prompt, self._fade.weight
        self._shown = prompt if weight == 1.0 else self._shown
        self._show(prompt, weight)

    def _with_provenance(self, chunk: Chunk, frames: NDArray[np.uint8], seed: int) -> Chunk:
        """Return the chunk with photoreal frames, and the prompt and seed that made them."""
        return replace(with_prompt(chunk.with_frames(frames), self._fade), seed=seed)

    def _advance(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the photoreal frames of a chunk and advance the state."""
        stages = self._open_stages()
        with self._running():
            self._fade_on()
            with self._timed("encode"):
                self._settle()
                stages.buffers.send(frames)
                self._run(("encode",), stages.encode)
            with self._timed("context"):
                if not self._recompute:
                    self._run(("context",), stages.context)
            return self._from_noise()

    def _from_noise(self) -> NDArray[np.uint8]:
        """Realize the chunk that was encoded last from the noise in the buffers."""
        stages = self._open_stages()
        buffers, past_tokens = stages.buffers, stages.buffers.past_tokens
        with self._timed("denoise"):
            self._run(("denoise", past_tokens), partial(stages.denoise, past_tokens))
        with self._timed("decode"):
            self._run(("decode",), stages.decode)
            answer = buffers.receive()
        self._collect()  # nothing to wait for: the frames have arrived
        with self._timed("commit"):
            self._run(("commit", past_tokens), partial(stages.commit, past_tokens))
        buffers.pending = True
        return answer

    def _settle(self) -> None:
        """Make the last chunk part of the past."""
        stages = self._open_stages()
        buffers, slots = stages.buffers, stages.buffers.slots
        if not buffers.pending:
            return
        self._run(("settle", slots), partial(stages.settle, slots))
        buffers.step()
        buffers.pending = False

    def _run(self, key: tuple[Any, ...], work: Callable[[], None]) -> None:
        """Run a stage, by replaying its CUDA graph if one was captured."""
        if self._graphs is None:
            work()
        else:
            self._graphs.run(key, work)

    def _warm_up(self) -> None:
        """Compile, choose kernels and capture graphs for every state of the past, then reset."""
        spec, profile = self._spec, self.profile
        black = np.zeros((spec.frames, spec.height, spec.width, 3), np.uint8)
        states = profile.sink + 2 * profile.ring + 1
        for _ in range(WARM_RUNS if self._graphs is not None else 1):
            self.reset()
            for _ in range(states):
                self._advance(black)
        if self._graphs is not None:
            with self._running():
                self._record(self._graphs, states)
        self.reset()

    def _record(self, graphs: Graphs, states: int) -> None:
        """Capture every stage for each of `states` chunks after a reset; capturing runs nothing."""
        stages = self._open_stages()
        buffers = stages.buffers
        torch.cuda.synchronize(self.device)
        self.reset()
        for _ in range(states):
            past_tokens, slots = buffers.past_tokens, buffers.slots
            work: dict[tuple[Any, ...], Callable[[], None]] = {
                ("encode",): stages.encode,
                ("context",): stages.context,
                ("denoise", past_tokens): partial(stages.denoise, past_tokens),
                ("decode",): stages.decode,
                ("commit", past_tokens): partial(stages.commit, past_tokens),
                ("settle", slots): partial(stages.settle, slots),
            }
            buffers.step()
            for key, piece in work.items():
                if key not in graphs:
                    graphs.record(key, piece)

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Set torch's modes for a chunk and restore them afterwards."""
        bf16 = self._precision == "bf16"
        threads = torch.get_num_threads()
        with ExitStack() as stack:
            stack.enter_context(self._memory_checked())
            stack.enter_context(torch.inference_mode())
            stack.enter_context(
                torch.autocast(self.device.type, torch.bfloat16, enabled=bf16, cache_enabled=False)
            )
            if self._cuda:
                stack.enter_context(torch.cuda.device(self.device))
                stack.enter_context(exact_convolutions())
            if self._attention is not None:
                stack.enter_context(sdpa_kernel(self._attention, set_priority=True))
            if self._threads and self._threads != threads:
                torch.set_num_threads(self._threads)
                stack.callback(torch.set_num_threads, threads)
            yield

    @contextmanager
    def _memory_checked(self) -> Iterator[None]:
        """Turn a failed allocation, on device or host, into OutOfMemory."""
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            known = out_of_memory(error, self._spec, self.device, self.profile)
            if known is None:
                raise
            raise known from error

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        """Add the block's duration to `timings`; on CUDA, once its events have completed."""
        if not self._cuda:
            begin = time.perf_counter()
            yield
            self._seconds[stage].append(time.perf_counter() - begin)
            return
        event: Any = torch.cuda.Event  # its constructor is untyped
        start, end = event(enable_timing=True), event(enable_timing=True)
        start.record()
        yield
        end.record()
        self._pending.append((stage, start, end))

    def _collect(self) -> None:
        """Wait for CUDA's pending work and record the stages' durations."""
        for stage, start, end in self._pending:
            end.synchronize()
            self._seconds[stage].append(start.elapsed_time(end) / 1e3)
        self._pending = []
