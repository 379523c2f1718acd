"""The torch engine, eager or compiled, on a CPU or GPU: the reference for all other engines.

It runs a checkpoint as training wrote it, without an export.

Legend: B cameras, T frames of a chunk, H W pixels, P past tokens, M tokens of a prompt, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.attention import SDPBackend

from realmaster_live.engines.guides import Guides, guides_of
from realmaster_live.engines.onnx_engine import NOTHING_REALIZED, STAGES
from realmaster_live.engines.options import Precision
from realmaster_live.engines.sizes import (
    check_cameras,
    check_frames,
    check_together,
    filled,
    spec_of,
    spec_text,
)
from realmaster_live.engines.torch.adapters import Adapters, why_fixed
from realmaster_live.engines.torch.cuda_graphs import Graphs, record_stages
from realmaster_live.engines.torch.device import (
    attention_kernels,
    check_memory,
    memory_checked,
    torch_modes,
)
from realmaster_live.engines.torch.expert import Passes, use_fastest
from realmaster_live.engines.torch.opening import open_model
from realmaster_live.engines.torch.stage_clock import StageClock
from realmaster_live.engines.torch.stages import Stages
from realmaster_live.errors import EngineError
from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.model.attention import SDPA
from realmaster_live.model.autoencoders.interface import Autoencoder
from realmaster_live.model.lora import Adapter
from realmaster_live.model.networks import Networks
from realmaster_live.prompts import AS_SIMULATED, Fade, check_prompt, with_prompt

WARM_RUNS = 2  # before a capture: in these, libraries choose kernels and allocate memory


class TorchEngine:
    """Realizes chunks with a checkpoint's networks.

    Use it from one thread: CUDA graphs belong to the thread that recorded them.

    Attributes:
        name: the checkpoint's folder, or "networks" if it was given networks.
        profile: the sizes of the model.
        device: where it runs.
        prompts: the embeddings of its prompts.
        attention: name of the kernel that computes attention (`model.attention`).
        cameras: B, the cameras whose chunks are one batch.
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
        precision: Precision | None = None,
        recompute_reference: bool = False,
        prompt: str | None = None,
        prompts: Mapping[str, NDArray[np.float32]] | None = None,
        adapter: Adapters | Path | str = (),
        ignore_unsupported: bool = False,
        autoencoder: Autoencoder | None = None,
        cameras: int = 1,
    ) -> None:
        """Load a checkpoint folder, or take over given networks and change them in place.

        `steps` is the number of denoise steps per chunk, 1 to 100. `compile` compiles the blocks
        and the autoencoder, which takes minutes. `graphs` captures CUDA graphs on a CUDA device.
        `threads` is the number of CPU threads while a chunk is realized (0: torch's own number).
        `precision` is bf16 on CUDA and fp32 on the CPU by default. In bf16, products, attention,
        keys and values are bfloat16; norms, rotations and the time embedder stay float32. In fp8,
        the blocks' linear layers are also E4M3. `recompute_reference` computes the reference in
        every pass, with the same result. `prompt` is the first prompt; `prompts` are embeddings
        (M, C) by name, added to those that the model learnt. `adapter` is a LoRA file, or files and
        their strengths, merged into the weights; with two experts, a file's header or name states
        its expert. `ignore_unsupported` loads only the plain LoRA layers of files that also hold
        other tensors. `autoencoder` takes the place of the checkpoint's. An expert that
        serves none of the steps is not moved to the device. With several `cameras`, use
        `realize_together`.
        """
        check_cameras(cameras)
        opened = self._opened = open_model(
            checkpoint,
            device=device,
            precision=precision,
            adapter=adapter,
            ignore_unsupported=ignore_unsupported,
            autoencoder=autoencoder,
        )
        self.name, self.device = opened.name, opened.device
        profile = self.profile = opened.profile
        self._spec = spec_of(profile, width, height, fps)
        self._sigmas, tables = opened.schedule(profile.steps if steps is None else steps, prompts)
        self._tables, self._seed, self.cameras = tables, seed, cameras
        self._threads, self._recompute, self._compile = threads, recompute_reference, compile
        self._cuda = self.device.type == "cuda"
        self._graphs = Graphs() if graphs and self._cuda else None
        self._passes = Passes.compiled() if compile else Passes()
        self._sdpa: list[SDPBackend] | None = None
        self.attention = SDPA
        self.prompts = next(iter(tables.values()))
        first = prompt or next(iter(self.prompts), AS_SIMULATED)
        check_prompt(first, self.prompts or (AS_SIMULATED,))
        check_memory(profile, self._spec, self.device, opened.precision, cameras)
        with memory_checked(self._spec, self.device, profile):
            opened.place(tables)
        if compile:
            for part in (opened.autoencoder.encoder, opened.autoencoder.decoder):
                part.compile(dynamic=False)
        self._begin(first)

    def _begin(self, first: str) -> None:
        """Make what no other engine shares, and show the first prompt."""
        self._due = self._taken = 0  # frames of the next chunk and of the one before
        self._clock = StageClock(STAGES, cuda=self._cuda)
        self._fade, self._shown = Fade(first), first
        with memory_checked(self._spec, self.device, self.profile):
            self._stages: Stages | None = Stages.of(
                self._opened,
                self._spec,
                self._sigmas,
                self._tables,
                first=first,
                seed=self._seed,
                cameras=self.cameras,
                recompute=self._recompute,
                passes=self._passes,
            )
        if self._cuda and self._opened.bf16 and self._sdpa is None:
            self._sdpa = attention_kernels(self.device, self.profile)
            exact = self._opened.precision != "fp8"
            with self._running():
                self.attention = use_fastest(self._stages.experts, self.device, exact=exact)
        if self.prompts:
            with self._running():
                self._show(first)
        self.reset()
        if self._compile or self._graphs is not None:
            self._warm_up()

    def __repr__(self) -> str:
        """Return text that names model, device, size and steps."""
        count = len(self._sigmas) - 1
        steps = f"{count} step{'s' * (count > 1)}"
        cameras = f"{self.cameras} cameras in one batch, " if self.cameras > 1 else ""
        size = spec_text(self._spec)
        attention = "" if self.attention == SDPA else f", attention by {self.attention}"
        return f"TorchEngine({self._opened.described()}{attention}, {cameras}{size}, {steps})"

    @property
    def spec(self) -> ChunkSpec:
        """The chunks this engine takes."""
        return self._spec

    @property
    def timings(self) -> dict[str, list[float]]:
        """Return stage -> seconds of each chunk since the last reset, after waiting for the device.

        The stages are those of the ONNX engine, timed by the host's monotonic clock or by CUDA
        events. On CUDA, `commit` runs after the caller has the frames.
        """
        self._clock.collect()
        return self._clock.seconds

    def reset(self) -> None:
        """Clear the past and the timings; the prompt stays."""
        self._clock.reset()
        self._due = self._spec.first_frames
        if self._stages is not None:
            self._stages.buffers.reset()

    def set_prompt(self, prompt: str, fade_chunks: int = 0) -> None:
        """Apply a prompt from the next chunk on, after a cross-fade over `fade_chunks` chunks."""
        check_prompt(prompt, self.prompts or (AS_SIMULATED,))
        stages = self._open_stages()
        self._fade.start(prompt, fade_chunks)
        if self.prompts:
            with self._running():
                for expert in stages.experts:
                    expert.start_fade(prompt)

    @property
    def strength(self) -> float:
        """Return the factor on the adapters' strengths; 0 is the base model, bit for bit."""
        return next((adapter.strength for adapter in self._adapters()), 0.0)

    @property
    def fixed_strength(self) -> str:
        """Why the strength cannot be set; "" if it can."""
        return why_fixed(self._adapters(), self._opened.precision)

    def set_strength(self, strength: float) -> None:
        """Merge the adapters with another factor on their strengths, from the next chunk on."""
        stages = self._open_stages()
        if self.fixed_strength:
            raise EngineError(self.fixed_strength)
        for expert in stages.experts:
            expert.set_strength(strength)
        if self.prompts and self._fade.weight in (0.0, 1.0):
            with self._running():
                self._show(self._shown)

    @property
    def seed(self) -> int:
        """The seed of the noise."""
        return self._open_stages().buffers.draw.seed

    def set_seed(self, seed: int) -> None:
        """Draw the noise from another seed, from the next chunk on."""
        self._open_stages().buffers.draw.reseed(seed)

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the chunk with photoreal frames, given the earlier chunks since `reset`."""
        return self.realize_together((chunk,))[0]

    def realize_together(self, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """Return the realized chunks of all cameras, which are one batch."""
        check_together(chunks, self.cameras)
        for chunk in chunks:
            check_frames(chunk, self._spec, self.profile.token_stride, self._due)
        count = self._spec.frames
        frames = [filled(chunk.frames, count) for chunk in chunks]
        guides = [guides_of(chunk, self.profile, count) for chunk in chunks]
        answers = self._advance(frames, guides)
        self._due, self._taken = self._spec.frames, len(chunks[0])
        return tuple(
            self._with_provenance(chunk, frames, self.seed)
            for chunk, frames in zip(chunks, answers, strict=True)
        )

    def realize_again(self, chunk: Chunk, seed: int) -> Chunk:
        """Realize the last chunk again, from the noise of another seed."""
        check_together((chunk,), self.cameras)
        buffers = self._open_stages().buffers
        if not buffers.pending:
            raise EngineError(NOTHING_REALIZED)
        check_frames(chunk, self._spec, self.profile.token_stride, self._taken)
        with self._running():
            buffers.noise.copy_(torch.from_numpy(buffers.draw.redraw(seed)))
            (answer,) = self._from_noise()
        return self._with_provenance(chunk, answer, seed)

    def sibling(self) -> TorchEngine:
        """Return an engine over the same networks for as many cameras; its past is its own.

        It begins with the prompt that is shown here. A strength that is set on one counts for both.
        """
        self._open_stages()
        other = copy(self)
        other._seed = self.seed
        other._graphs = None if self._graphs is None else Graphs()
        other._begin(self._fade.prompt)
        return other

    def close(self) -> None:
        """Release the networks and all buffers; may be called twice."""
        self._clock.collect()
        if self._graphs is not None:
            self._graphs.clear()
        self._stages = None
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
        realized = chunk.with_frames(frames[-len(chunk) :])
        return replace(with_prompt(realized, self._fade), seed=seed)

    def _advance(
        self, frames: Sequence[NDArray[np.uint8]], guides: Sequence[Guides] = ()
    ) -> NDArray[np.uint8]:
        """Return each camera's photoreal frames (B, T, H, W, 3) and advance the state."""
        stages = self._open_stages()
        with self._running():
            self._fade_on()
            with self._clock.timed("encode"):
                self._settle()
                stages.buffers.send(frames, guides)
                self._run(("encode",), stages.encode)
            with self._clock.timed("context"):
                if not self._recompute:
                    self._run(("context",), stages.context)
            return self._from_noise()

    def _from_noise(self) -> NDArray[np.uint8]:  # (B, T, H, W, 3)
        """Realize what was encoded last from the noise in the buffers."""
        stages = self._open_stages()
        buffers, past_tokens = stages.buffers, stages.buffers.past_tokens
        with self._clock.timed("denoise"):
            self._run(("denoise", past_tokens), partial(stages.denoise, past_tokens))
        with self._clock.timed("decode"):
            self._run(("decode",), stages.decode)
            answer = buffers.receive()
        self._clock.collect()  # nothing to wait for: the frames have arrived
        with self._clock.timed("commit"):
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
                self._advance([black] * self.cameras)
        if self._graphs is not None:
            torch.cuda.synchronize(self.device)
            self.reset()
            with self._running():
                record_stages(self._graphs, self._open_stages(), states)
        self.reset()

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Set torch's modes for a chunk and restore them afterwards."""
        modes = torch_modes(
            self.device, bf16=self._opened.bf16, threads=self._threads, backends=self._sdpa
        )
        with memory_checked(self._spec, self.device, self.profile), modes:
            yield
