"""Torch, eager or compiled, on the CPU or a CUDA device: the truth that other engines are held to.

It takes a checkpoint as training wrote it, so nothing has to be exported first.

Legend: T frames of a chunk, H W pixels.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from realmaster_live.chunk import Chunk, ChunkSpec
from realmaster_live.engines.load import check_frames, check_size, fitting_sizes
from realmaster_live.engines.onnx_engine import STAGES
from realmaster_live.engines.torch_buffers import Buffers
from realmaster_live.errors import BuildError, EngineError, OutOfMemory
from realmaster_live.model.checkpoint import load_checkpoint
from realmaster_live.model.dit import ConditionEmbedder, InContextTransformer
from realmaster_live.model.in_context import Rope
from realmaster_live.model.sampling import euler_step, sigmas
from realmaster_live.model.vae import StreamingAutoencoder, to_bytes, to_cells

Precision = Literal["fp32", "bf16"]
STEP_CHOICES = (1, 2, 4)  # as of an export: every engine takes the same
ASKED = re.compile(r"(?:ried|nable) to allocate ([\d.]+ ?\w+)")  # torch's and numpy's words
FREE = re.compile(r"of which ([\d.]+ ?\w+) is free")


def keep_float32(module: nn.Module) -> None:
    """Keep a module of one input out of autocast, in place."""
    forward = module.forward

    def in_float32(x: Tensor) -> Any:
        with torch.autocast(x.device.type, enabled=False):
            return forward(x.float())

    module.forward = in_float32


def mix_precision(module: nn.Module) -> None:
    """Prepare a network for autocast, in place: products in bfloat16, the delicate in float32.

    Norms and the time embedder leave autocast; as normalised keys and queries are float32 then, so
    are their rotations. Weights of products are stored as bfloat16.
    """
    for child in module.children():
        if isinstance(child, (ConditionEmbedder, nn.LayerNorm, nn.RMSNorm)):
            keep_float32(child)
        elif isinstance(child, (nn.Linear, nn.Conv2d, nn.Conv3d)):
            child.to(torch.bfloat16)
        else:
            mix_precision(child)


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
    error: BaseException, spec: ChunkSpec, device: torch.device, stride: int
) -> OutOfMemory | None:
    """Return what to raise for a failed allocation; None where the error is another one."""
    asked, free = ASKED.search(str(error)), FREE.search(str(error))
    if asked is None:
        return None
    width, height = fitting_sizes(spec.width // 2, spec.height // 2, stride)[0]
    return OutOfMemory(
        f"expected {asked[1]} more memory on {device} for {spec.width}x{spec.height}, got "
        f"{free[1] + ' free' if free else 'less'}: use a smaller size, such as {width}x{height}, "
        "or free memory there"
    )


def stage_functions(
    autoencoder: StreamingAutoencoder, transformer: InContextTransformer
) -> dict[str, Callable[..., Any]]:
    """Return the stages of a chunk as functions of tensors alone, for eager use or a compiler."""

    def encode(frames: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        guide = to_cells(frames[None])
        return guide, *autoencoder.encode(guide, memory)

    def context(reference: Tensor, rope: Rope) -> Tensor:
        return transformer.context(reference, rope)

    def denoise(*inputs: Any) -> Tensor:
        return transformer.denoise(*inputs)[0]

    def commit(*inputs: Any) -> Tensor:
        return transformer.denoise(*inputs)[1]

    def decode(latent: Tensor, guide: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        cells, kept = autoencoder.decode(latent, guide, memory)
        return to_bytes(cells, autoencoder.profile.chunk_frames)[0], kept

    stages = (encode, context, denoise, decode, commit)
    return dict(zip(STAGES, stages, strict=True))


class TorchEngine:
    """Realizes chunks with a checkpoint's networks.

    Use it from one thread: CUDA graphs belong to the thread that recorded them.

    Attributes:
        profile: the sizes of the model.
        device: where it runs.
    """

    def __init__(
        self,
        checkpoint_dir: Path | str,
        *,
        width: int,  # pixels
        height: int,  # pixels
        fps: float = 20.0,
        steps: int | None = None,
        seed: int = 0,
        device: str = "cpu",
        compile: bool = False,
        threads: int = 0,
        precision: Precision = "fp32",
        recompute_reference: bool = False,
    ) -> None:
        """Load a checkpoint folder; with `compile`, also compile it for every length of the past.

        `compile` takes a minute or so and uses CUDA graphs on a CUDA device. `threads` are CPU
        threads while a chunk is realized (0: torch's own number). `precision` bf16 is meant for
        CUDA: products in bfloat16, norms, rotations and the time embedder in float32.
        `recompute_reference` computes the reference anew at every pass: slower, the same answer.
        """
        self.device = find_device(device)
        if precision not in get_args(Precision):
            raise EngineError(f"expected precision fp32 or bf16, got {precision!r}: use one")
        autoencoder, transformer = load_checkpoint(Path(checkpoint_dir))
        check_finite(autoencoder, "autoencoder")
        check_finite(transformer, "transformer")
        profile = self.profile = transformer.profile
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
        self._threads, self._recompute, self._precision = threads, recompute_reference, precision
        self._cuda = self.device.type == "cuda"
        self._graphs = compile and self._cuda
        self._seconds: dict[str, list[float]] = {}
        self._pending: list[tuple[str, torch.cuda.Event, torch.cuda.Event]] = []
        with self._memory_checked():
            self._buffers: Buffers | None = Buffers(
                profile, self._spec, self.device, self._sigmas, seed
            )
            for network in (autoencoder, transformer):
                network.requires_grad_(False)
                if precision == "bf16":
                    mix_precision(network)
                network.to(self.device)
        self._stages = stage_functions(autoencoder, transformer)
        self.reset()
        if compile:
            mode = "reduce-overhead" if self._graphs else None
            self._stages = {
                name: torch.compile(stage, dynamic=False, mode=mode)
                for name, stage in self._stages.items()
            }
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
        """Forget all earlier chunks, and the timings."""
        self._collect()
        self._seconds = {stage: [] for stage in STAGES}
        if self._buffers is not None:
            self._buffers.reset()

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the chunk with photoreal frames; earlier chunks since `reset` steer the look."""
        check_frames(chunk, self._spec, self.profile.token_stride)
        return chunk.with_frames(self._advance(chunk.frames))

    def close(self) -> None:
        """Release the networks and all buffers; may be called twice."""
        self._collect()
        self._stages, self._buffers = {}, None
        if self._cuda:
            torch.cuda.empty_cache()

    def __enter__(self) -> TorchEngine:
        """Return self."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def _advance(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the photoreal frames of a chunk and carry the state on."""
        buffers = self._buffers
        if buffers is None:
            raise EngineError("expected an open engine, got a closed one: make a new TorchEngine")
        with self._running():
            with self._timed("encode"):
                guide, reference, memory = self._run(
                    "encode", buffers.send(frames), buffers.encoder_memory
                )
                buffers.encoder_memory.copy_(memory)
            with self._timed("context"):
                context = None if self._recompute else self._context(buffers, reference)
            latent = buffers.noise
            with self._timed("denoise"):
                for t, t_next in zip(self._sigmas[:-1], self._sigmas[1:], strict=True):
                    x0 = self._pass("denoise", buffers, latent, t, reference, context)
                    latent = euler_step(latent, x0, t, t_next)
            with self._timed("decode"):
                decoded, memory = self._run("decode", latent, guide, buffers.decoder_memory)
                buffers.decoder_memory.copy_(memory)
                answer = buffers.receive(decoded)
            self._collect()  # nothing to wait for: the frames have arrived
            with self._timed("commit"):
                kept = self._pass("commit", buffers, latent, 0.0, reference, context)
                buffers.ring.push(kept)
        return answer

    def _context(self, buffers: Buffers, reference: Tensor) -> Any:
        """Return the reference's keys and values."""
        return self._run("context", reference, buffers.rope)[0]

    def _pass(
        self,
        stage: str,
        buffers: Buffers,
        sample: Tensor,
        t: float,
        reference: Tensor,
        context: Tensor | None,
    ) -> Any:
        """Return what a pass through the transformer is for; no context: compute it here."""
        context = self._context(buffers, reference) if context is None else context
        past, past_rope = buffers.ring.past()
        inputs = (sample, buffers.timesteps[t], reference, context, past, buffers.rope, past_rope)
        return self._run(stage, *inputs)[0]

    def _run(self, stage: str, *inputs: Any) -> tuple[Tensor, ...]:
        """Run a stage; what a CUDA graph answers is copied, as its next run overwrites it."""
        answer = self._stages[stage](*inputs)
        answers = answer if isinstance(answer, tuple) else (answer,)
        return tuple(tensor.clone() for tensor in answers) if self._graphs else answers

    def _warm_up(self) -> None:
        """Compile and record for every length of the past, then forget it all."""
        spec, profile = self._spec, self.profile
        black = np.zeros((spec.frames, spec.height, spec.width, 3), np.uint8)
        # Of a new length, CUDA graphs run the first call, record the second and replay the third.
        for _ in range(3 if self._graphs else 1):
            self.reset()
            for _ in range(profile.sink + profile.ring + 1):
                self._advance(black)
        self.reset()

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
                # TF32 would make fp32 something else; reruns are to be equal bit for bit.
                stack.enter_context(
                    torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
                )
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
            stride = self.profile.token_stride
            known = out_of_memory(error, self._spec, self.device, stride)
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
