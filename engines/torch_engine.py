"""Torch, eager or compiled, on the CPU or a CUDA device: the truth that other engines are held to.

It takes a checkpoint as training wrote it, so nothing has to be exported first.

Legend: T frames of a chunk, H W pixels, P tokens of the past, M tokens of a prompt.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from realmaster_live.chunk import Chunk, ChunkSpec
from realmaster_live.engines.load import check_frames, check_size, fitting_sizes
from realmaster_live.engines.onnx_engine import STAGES
from realmaster_live.engines.torch_buffers import Buffers
from realmaster_live.engines.torch_graphs import Graphs
from realmaster_live.engines.torch_stages import Stages
from realmaster_live.errors import BuildError, EngineError, OutOfMemory
from realmaster_live.model.cost import cost
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.lora import Adapter
from realmaster_live.model.precision import mix_precision
from realmaster_live.model.profile import PROFILES, Profile
from realmaster_live.model.sampling import sigmas
from realmaster_live.model.vae import StreamingAutoencoder
from realmaster_live.prompts import (
    AS_SIMULATED,
    PROMPTS_FILE,
    Fade,
    PromptTable,
    check_prompt,
    with_prompt,
)

Precision = Literal["fp32", "bf16"]
Networks = tuple[StreamingAutoencoder, InContextTransformer]
STEP_CHOICES = (1, 2, 4)  # as of an export: every engine takes the same
WARM_RUNS = 2  # before a recording: libraries choose and allocate in the first
ATTENTION = (  # fastest first; the last one takes anything
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
)
ASKED = re.compile(r"(?:ried|nable) to allocate ([\d.]+ ?\w+)")  # torch's and numpy's words
FREE = re.compile(r"of which ([\d.]+ ?\w+) is free")


def check_finite(module: nn.Module, name: str) -> None:
    """Raise BuildError for a tensor that holds NaN or infinity."""
    for key, tensor in module.state_dict().items():
        wrong = int((~torch.isfinite(tensor)).sum())
        if wrong:
            raise BuildError(
                f"expected finite weights, got {wrong} of {tensor.numel()} values NaN or infinite "
                f"in {name}.{key}: use an earlier checkpoint of the run"
            )


def find_device(name: str) -> torch.device:
    """Return the CPU or a CUDA device that is there; EngineError for any other."""
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise EngineError(f"expected device 'cpu', 'cuda' or 'cuda:N', got {name!r}: use one")
    if device.type == "cpu":
        return torch.device("cpu")
    index, count = device.index or 0, torch.cuda.device_count()
    if index >= count:
        raise EngineError(
            f"expected CUDA device {index}, got {count} devices that torch {torch.__version__} "
            "sees: use device='cpu', or install an NVIDIA driver and a CUDA build of torch"
        )
    return torch.device("cuda", index)


def out_of_memory(
    error: BaseException, spec: ChunkSpec, device: torch.device, profile: Profile
) -> OutOfMemory | None:
    """Return what to raise for a failed allocation; None where the error is another one."""
    asked, free = ASKED.search(str(error)), FREE.search(str(error))
    if asked is None:
        return None
    need = cost(profile, height=spec.height, width=spec.width).bytes
    width, height = fitting_sizes(spec.width // 2, spec.height // 2, profile.token_stride)[0]
    fitting = [
        (known.bytes, other.name)
        for other in PROFILES.values()
        if (known := cost(other, height=spec.height, width=spec.width)).bytes < need / 2
    ]
    smaller = f", a smaller profile, such as {max(fitting)[1]}," if fitting else ""
    return OutOfMemory(
        f"expected {asked[1]} more memory on {device} for {spec.width}x{spec.height}, for which "
        f"{profile.name} needs about {need / 2**30:.2g} GiB in bf16, got "
        f"{free[1] + ' free' if free else 'less'}: use a smaller size, such as {width}x{height}"
        f"{smaller} or free memory there"
    )


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Let cuDNN give equal answers in every run, and no TF32 where float32 was asked for."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.allow_tf32
    cudnn.deterministic, cudnn.allow_tf32 = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.allow_tf32 = before


def attention_kernels(device: torch.device, profile: Profile) -> list[SDPBackend]:
    """Return the attentions that work on a CUDA device in bfloat16, fastest first."""
    shape = (1, profile.heads, 64, profile.head_width)
    query = torch.zeros(shape, dtype=torch.bfloat16, device=device)
    try:
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            nn.functional.scaled_dot_product_attention(query, query, query)
    except RuntimeError:  # this cuDNN, or this head, has none
        return list(ATTENTION[1:])
    return list(ATTENTION)


def open_networks(checkpoint: Path | str | Networks) -> Networks:
    """Return the networks of a checkpoint folder, or those that are given."""
    if isinstance(checkpoint, tuple):
        return checkpoint
    from realmaster_live.model.checkpoint import load_checkpoint  # which needs safetensors

    return load_checkpoint(Path(checkpoint))


def attach_file(transformer: InContextTransformer, path: Path | str | None) -> Adapter | None:
    """Attach a LoRA file's adapter, if there is one."""
    if path is None:
        return None
    from realmaster_live.model.lora_files import load  # which needs safetensors

    return load(Path(path), transformer)


def learnt_prompts(transformer: InContextTransformer) -> PromptTable:
    """Return the embeddings that were learnt with a model; empty where there are none."""
    names = transformer.profile.prompts
    if not names:
        return PromptTable({})
    values = transformer.prompt_embedding.detach().float().cpu().numpy()
    return PromptTable(dict(zip(names, values, strict=True)))


def known_prompts(
    transformer: InContextTransformer,
    checkpoint: Path | str | Networks,
    given: Mapping[str, NDArray[np.float32]],
) -> PromptTable:
    """Return the learnt prompts, those that lie beside a checkpoint, and those that are given."""
    path = None if isinstance(checkpoint, tuple) else Path(checkpoint) / PROMPTS_FILE
    kept = PromptTable.load(path) if path is not None and path.exists() else PromptTable({})
    known = PromptTable({**learnt_prompts(transformer), **kept, **given}, texts=kept.texts)
    width = transformer.profile.text_width
    for name, embedding in known.items():
        if embedding.ndim != 2 or embedding.shape[1] != width:
            raise EngineError(
                f"expected embeddings (tokens, {width}), got {embedding.shape} of {name!r}: "
                "use the text encoder that the model was trained with"
            )
    if width and not known:
        raise EngineError(
            f"expected embeddings of prompts for {transformer.profile.name}, got none: embed some "
            f"with realmaster_live.model.text_encoder, which writes {PROMPTS_FILE}"
        )
    return known


class TorchEngine:
    """Realizes chunks with a checkpoint's networks.

    Use it from one thread: CUDA graphs belong to the thread that recorded them.

    Attributes:
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
        adapter: Path | str | None = None,
        strength: float = 1.0,
    ) -> None:
        """Load a checkpoint folder, or take its networks over: they are moved and changed in place.

        `compile` compiles the blocks and the autoencoder, which takes a minute or so. `graphs`
        records CUDA graphs on a CUDA device, and is nothing elsewhere. `threads` are CPU threads
        while a chunk is realized (0: torch's own number). `precision` bf16 is meant for CUDA:
        products, attention, keys and values in bfloat16, norms, rotations and the time embedder in
        float32. `recompute_reference` computes the reference anew at every pass: slower, the same
        answer. `prompt` is the first one; `prompts` are embeddings (M, C) by name beside those
        that the model learnt. `adapter` is a LoRA file, merged into the weights at `strength`.
        """
        self.device = find_device(device)
        if precision not in get_args(Precision):
            raise EngineError(f"expected precision fp32 or bf16, got {precision!r}: use one")
        self._networks: Networks | None = open_networks(checkpoint)
        autoencoder, transformer = self._networks
        check_finite(autoencoder, "autoencoder")
        check_finite(transformer, "transformer")
        profile = self.profile = transformer.profile
        if profile.experts != 1:
            raise EngineError(
                f"expected a profile of one expert, got {profile.experts} in {profile.name}: "
                "run each expert as a profile with experts=1"
            )
        stride = profile.token_stride
        check_size(width, height, stride)
        steps = profile.steps if steps is None else steps
        if steps not in STEP_CHOICES:
            raise EngineError(
                f"expected steps among {', '.join(map(str, STEP_CHOICES))}, got {steps}: "
                "choose one of them"
            )
        self._sigmas = sigmas(steps, profile.shift)
        self._spec = ChunkSpec(frames=profile.chunk_frames, height=height, width=width, fps=fps)
        self._threads, self._precision = threads, precision
        self._cuda = self.device.type == "cuda"
        self._graphs = Graphs() if graphs and self._cuda else None
        self._seconds: dict[str, list[float]] = {}
        self._pending: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
        self.prompts = known_prompts(transformer, checkpoint, prompts or {})
        self._prompt_kv: dict[str, Tensor] = {}
        first = prompt or next(iter(self.prompts), AS_SIMULATED)
        self._check_prompt(first)
        self._fade, self._shown = Fade(first), first
        bf16 = precision == "bf16"
        self._adapter = attach_file(transformer, adapter)
        with self._memory_checked():
            self._buffers: Buffers | None = Buffers(
                profile,
                self._spec,
                self.device,
                self._sigmas,
                seed,
                torch.bfloat16 if bf16 else torch.float32,
                len(self.prompts[first]) if self.prompts else 0,
            )
            for network in self._networks:
                network.requires_grad_(False)
                if bf16:
                    mix_precision(network)
                network.to(self.device)
            if self._adapter is not None:
                self._adapter.strength = strength
                self._adapter.merge()
            self._attention = (
                attention_kernels(self.device, profile) if bf16 and self._cuda else None
            )
        self._stages: Stages | None = Stages(
            autoencoder, transformer, self._buffers, self._sigmas, recompute=recompute_reference
        )
        if self.prompts:
            with self._running():
                self._show(self._prompt(first))
        if compile:
            for part in (*transformer.blocks, autoencoder.encoder, autoencoder.decoder):
                part.compile(dynamic=False)
        self.reset()
        if compile or self._graphs is not None:
            self._warm_up()

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
        """Forget all earlier chunks, and the timings; the prompt stays."""
        self._collect()
        self._seconds = {stage: [] for stage in STAGES}
        if self._buffers is not None:
            self._buffers.reset()

    def set_prompt(self, prompt: str, fade_chunks: int = 0) -> None:
        """Show a prompt from the next chunk on, after `fade_chunks` chunks that mix the two."""
        self._check_prompt(prompt)
        buffers = self._open_buffers()
        self._fade.start(prompt, fade_chunks)
        if buffers.prompt_kv is not None:
            self._from_kv = buffers.prompt_kv.clone()
            with self._running():
                self._prompt(prompt)

    @property
    def strength(self) -> float:
        """Return how much of the adapter is in the weights; 0 is the base model, bit for bit."""
        return 0.0 if self._adapter is None else self._adapter.strength

    def set_strength(self, strength: float) -> None:
        """Merge another share of the adapter, from the next chunk on."""
        self._open_buffers()
        if self._adapter is None:
            raise EngineError(
                f"expected an engine with an adapter, got none to set to {strength}: make the "
                "engine with adapter=FILE"
            )
        self._adapter.strength = strength
        self._prompt_kv = {}  # they went through layers that have just changed
        if self.prompts and self._fade.weight in (0.0, 1.0):
            with self._running():
                self._show(self._prompt(self._shown))

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the chunk with photoreal frames; earlier chunks since `reset` steer the look."""
        check_frames(chunk, self._spec, self.profile.token_stride)
        return with_prompt(chunk.with_frames(self._advance(chunk.frames)), self._fade)

    def close(self) -> None:
        """Release the networks and all buffers; may be called twice."""
        self._collect()
        if self._graphs is not None:
            self._graphs.clear()
        self._networks = self._buffers = None
        self._prompt_kv = {}
        self._stages = None
        if self._cuda:
            torch.cuda.empty_cache()

    def __enter__(self) -> TorchEngine:
        """Return self."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def _open_buffers(self) -> Buffers:
        """Return the buffers; EngineError after `close`."""
        if self._buffers is None:
            raise EngineError("expected an open engine, got a closed one: make a new TorchEngine")
        return self._buffers

    def _check_prompt(self, prompt: str) -> None:
        """Raise EngineError for a prompt without an embedding."""
        check_prompt(prompt, self.prompts or (AS_SIMULATED,))

    def _prompt(self, name: str) -> Tensor:
        """Return a prompt's keys and values, computed once."""
        if name not in self._prompt_kv:
            buffers = self._open_buffers()
            text = torch.from_numpy(self.prompts[name])[None].to(self.device)
            assert buffers.prompt_kv is not None
            assert self._networks is not None
            answer = self._networks[1].prompt(text)
            if answer.shape != buffers.prompt_kv.shape:
                raise EngineError(
                    f"expected prompts of {buffers.prompt_kv.shape[4]} tokens, got "
                    f"{answer.shape[4]} of {name!r}: embed all with the same text encoder"
                )
            self._prompt_kv[name] = answer.to(buffers.prompt_kv.dtype)
        return self._prompt_kv[name]

    def _show(self, prompt_kv: Tensor) -> None:
        """Put a prompt's keys and values where the passes read them."""
        shown = self._open_buffers().prompt_kv
        assert shown is not None
        shown.copy_(prompt_kv)

    def _fade_on(self) -> None:
        """Move the prompt on at a chunk's edge."""
        if not self._fade.step() or not self.prompts:
            return
        new, weight = self._prompt(self._fade.prompt), self._fade.weight
        self._shown = self._fade.prompt if weight == 1.0 else self._shown
        self._show(new if weight == 1.0 else torch.lerp(self._from_kv, new, weight))

    def _advance(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the photoreal frames of a chunk and carry the state on."""
        buffers = self._open_buffers()
        stages, ring = self._stages, buffers.ring
        assert stages is not None
        seen, slot = ring.seen, ring.slot
        with self._running():
            self._fade_on()
            with self._timed("encode"):
                buffers.send(frames)
                self._run(("encode",), stages.encode)
            with self._timed("context"):
                if not stages.recompute:
                    self._run(("context",), stages.context)
            with self._timed("denoise"):
                self._run(("denoise", seen), partial(stages.denoise, seen))
            with self._timed("decode"):
                self._run(("decode",), stages.decode)
                answer = buffers.receive()
            self._collect()  # nothing to wait for: the frames have arrived
            with self._timed("commit"):
                self._run(("commit", seen, slot), partial(stages.commit, seen, slot))
                ring.step()
                after = ring.seen
                if after:
                    self._run(("turn", after), partial(stages.turn, after))
        return answer

    def _run(self, key: tuple[Any, ...], work: Callable[[], None]) -> None:
        """Do a piece of work, from its CUDA graph where there is one."""
        if self._graphs is None:
            work()
        else:
            self._graphs.run(key, work)

    def _warm_up(self) -> None:
        """Compile, choose kernels and record for every state of the past, then forget it all."""
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
        """Record every stage for so many chunks after a reset; recording runs nothing."""
        stages, ring = self._stages, self._open_buffers().ring
        assert stages is not None
        torch.cuda.synchronize(self.device)
        self.reset()
        for _ in range(states):
            seen, slot = ring.seen, ring.slot
            work: dict[tuple[Any, ...], Callable[[], None]] = {
                ("encode",): stages.encode,
                ("context",): stages.context,
                ("denoise", seen): partial(stages.denoise, seen),
                ("decode",): stages.decode,
                ("commit", seen, slot): partial(stages.commit, seen, slot),
            }
            ring.step()
            after = ring.seen
            if after:
                work["turn", after] = partial(stages.turn, after)
            for key, piece in work.items():
                if key not in graphs:
                    graphs.record(key, piece)

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Set torch up for a chunk, and put everything back."""
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
        """Turn a failed allocation, on the device or the host, into OutOfMemory."""
        try:
            yield
        except (RuntimeError, MemoryError) as error:
            known = out_of_memory(error, self._spec, self.device, self.profile)
            if known is None:
                raise
            raise known from error

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        """Add the seconds that the block takes to `timings`, on CUDA once they are known."""
        if not self._cuda:
            begin = time.perf_counter()
            yield
            self._seconds[stage].append(time.perf_counter() - begin)
            return
        event: Any = torch.cuda.Event  # whose constructor has no types
        start, end = event(enable_timing=True), event(enable_timing=True)
        start.record()
        yield
        end.record()
        self._pending.append((stage, start, end))

    def _collect(self) -> None:
        """Wait for what CUDA still does, and note how long it took."""
        for stage, start, end in self._pending:
            end.synchronize()
            self._seconds[stage].append(start.elapsed_time(end) / 1e3)
        self._pending = []
