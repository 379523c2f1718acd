"""The ONNX Runtime engine, which runs the embedded model on a CPU by default, without torch.

Legend: T frames of a chunk, H W pixels, N tokens of a chunk, P tokens of the past, L layers.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from dataclasses import replace
from pathlib import Path
from threading import Semaphore
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.engines.embedded import EMBEDDED_FOLDER
from realmaster_live.engines.guides import guides_of
from realmaster_live.engines.manifest import (
    WEIGHTS_FILE,
    check_graphs,
    graphs_of,
    read_manifest,
    read_prompts,
)
from realmaster_live.engines.noise import ChunkNoise
from realmaster_live.engines.onnx_sessions import choose_providers, open_sessions
from realmaster_live.engines.past import Past
from realmaster_live.engines.sizes import check_fits, check_frames, filled, spec_of, spec_text
from realmaster_live.errors import EngineError
from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.model.profile import Profile
from realmaster_live.model.rope import rope_tables
from realmaster_live.optional import require
from realmaster_live.prompts import AS_SIMULATED, Fade, check_prompt, with_prompt
from realmaster_live.system.host import available_bytes

NOTHING_REALIZED = (
    "expected a chunk that was realized just before, got none since the last reset: call realize "
    "first"
)
EXACT_BITS = 7  # of weights; with 8, x86 processors without VNNI saturate sums of two products
WIDENED = 6  # times the stored bytes: two graphs with weights in float32, packed as they are loaded
STAGES = ("encode", "context", "denoise", "decode", "commit")


class OnnxEngine:
    """Realizes chunks with an export's graphs.

    Attributes:
        timings: stage -> seconds of each chunk since the last reset, on the host's monotonic
            clock; the stages are encode, context, denoise, decode and commit.
        name: "embedded" or the folder. device: "cpu" or "cuda".
        prompts: the keys and values of each of the model's prompts, by name.
        manifest: the export's manifest: prompts, training data, parity and files.
        profile: the model's sizes.
    """

    def __init__(
        self,
        folder: Path | str | None = None,
        *,
        width: int = 512,
        height: int = 288,
        fps: float = 20.0,
        steps: int | None = None,
        seed: int = 0,
        threads: int = 0,
        recompute_reference: bool = False,
        prompt: str | None = None,
        device: str = "cpu",
        providers: Sequence[str] = (),
        lean: bool | None = None,
        decodes_at_once: int | None = None,
    ) -> None:
        """Load the graphs of `folder`, by default those of the embedded model.

        `recompute_reference` computes the reference's keys and values in every pass, with the same
        result, to measure what the cache saves. `prompt` is the first prompt (None: the model's
        default). `device` cuda uses ONNX Runtime's CUDA provider; `providers` are preferred to it,
        such as TensorrtExecutionProvider. `lean` casts weights to float32 in every pass rather than
        once at the start, which is slower and needs a third of the memory or less. By default, it
        is chosen on a CPU whose free memory does not hold them. `decodes_at_once` is how many of an
        engine and its siblings may decode at the same time, which takes four times the memory of
        everything else.
        """
        runtime = require("onnxruntime", extra="live")
        self._runtime = runtime
        self._folder = EMBEDDED_FOLDER if folder is None else Path(folder)
        self.name = "embedded" if self._folder == EMBEDDED_FOLDER else str(folder)
        self.device = device
        self.manifest = read_manifest(self._folder)
        self.profile = profile = Profile.from_dict(self.manifest["profile"])
        self._stride = profile.token_stride
        self._spec = spec_of(profile, width, height, fps)
        if device == "cpu":
            check_fits(self._spec)
        self._sigmas = self._choose_sigmas(steps)
        self._due = self._taken = 0  # frames of the next chunk and of the last one
        self._may_decode: AbstractContextManager[object] = (
            nullcontext() if decodes_at_once is None else Semaphore(decodes_at_once)
        )
        self._recompute = recompute_reference
        self._sessions = open_sessions(
            self._folder,
            graphs_of(profile),
            threads=threads,
            providers=choose_providers(device, providers),
            lean=self._is_too_large() if lean is None else lean,
            fused=self.manifest.get("weight_bits", 8) <= EXACT_BITS,
        )
        self.prompts = read_prompts(self._folder, self.manifest)
        tokens = next((pairs.shape[4] for pairs in self.prompts.values()), 0)
        check_graphs(
            self._sessions,
            profile,
            size=(width, height),
            prompt_tokens=tokens,
            folder=self._folder,
        )
        rows, columns = height // self._stride, width // self._stride
        self._grid = rows, columns
        self._rope: dict[str, Any] = {
            "widths": profile.rope_widths,
            "theta": profile.rope_theta,
            "frames": profile.chunk_latents,
        }
        cos, sin = rope_tables([0.0], rows, columns, **self._rope)
        self._cos, self._sin = self._value(cos), self._value(sin)
        self._noise = ChunkNoise(profile.latent_shape(height, width), seed)
        self._falling = profile.falling
        inputs = [
            {each.name: each.shape for each in self._sessions[name].get_inputs()}
            for name in ("encode", "decode")
        ]
        self._guided = "guide" in inputs[1]
        self._memories = [each["memory"][1] for each in inputs]  # channels
        first = prompt or next(iter(self.prompts), AS_SIMULATED)
        check_prompt(first, self.prompts or (AS_SIMULATED,))
        self._fade = Fade(first)
        self._shown = self.prompts.get(first)
        self._fade_start = self._shown
        self._prompt = self._prompt_inputs()
        self.reset()

    def _is_too_large(self) -> bool:
        """Return whether the weights in float32 do not fit in the memory that is free."""
        stored = int(self.manifest["files"].get(WEIGHTS_FILE, {}).get("bytes", 0))
        return self.device == "cpu" and WIDENED * stored > available_bytes()

    def __repr__(self) -> str:
        """Return text that names model, size, steps and device."""
        size, steps = spec_text(self._spec), len(self._sigmas) - 1
        return f"OnnxEngine({self.name}, {size}, {steps} step{'s' * (steps != 1)}, {self.device})"

    @property
    def spec(self) -> ChunkSpec:
        """The chunks this engine takes."""
        return self._spec

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
        self._noise.reset()
        profile, spec = self.profile, self._spec
        self._due = spec.first_frames
        grid = spec.height // 8, spec.width // 8
        self._encoder_memory, self._decoder_memory = (
            np.zeros((1, count, *grid), np.float32) for count in self._memories
        )
        self._past = Past(
            layers=profile.layers,
            heads=profile.heads,
            head_width=profile.head_width,
            ring=profile.ring,
            sink=profile.sink,
        )
        # Both memories and the past, as they were before the last chunk.
        self._before: tuple[NDArray[np.float32], NDArray[np.float32], Past] | None = None
        self.timings: dict[str, list[float]] = {stage: [] for stage in STAGES}
        self._place_past()

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the chunk with photoreal frames, given the earlier chunks since `reset`."""
        check_frames(chunk, self._spec, self._stride, self._due)
        if self._fade.step() and self.prompts:
            self._fade_on()
        self._before = self._encoder_memory, self._decoder_memory, copy(self._past)
        self._due, self._taken = self._spec.frames, len(chunk)
        return self._realize_from(chunk, self._noise.take(), self._noise.seed)

    def realize_again(self, chunk: Chunk, seed: int) -> Chunk:
        """Realize the last chunk again, from the noise of another seed."""
        if self._before is None:
            raise EngineError(NOTHING_REALIZED)
        check_frames(chunk, self._spec, self._stride, self._taken)
        self._encoder_memory, self._decoder_memory, past = self._before
        self._past = copy(past)
        self._place_past()
        return self._realize_from(chunk, self._noise.redraw(seed), seed)

    def _realize_from(self, chunk: Chunk, drawn: NDArray[np.float32], seed: int) -> Chunk:
        """Realize a chunk from the given noise.

        Of a chunk only what the next one needs is kept, as every camera keeps it; and that outside
        of the runtime's memory, where pieces that stay would be in the way of the next camera's.
        """
        with self._timed("encode"):
            guides = {
                name: self._value(values)
                for name, values in guides_of(chunk, self.profile, self._spec.frames).items()
            }
            guide, reference, kept = self._run(
                "encode",
                frames=self._value(np.ascontiguousarray(filled(chunk.frames, self._spec.frames))),
                memory=self._value(self._encoder_memory),
                **({"light": guides.pop("light")} if self.profile.light else {}),
            )
            self._encoder_memory = _own(kept)
        with self._timed("context"):
            context = None if self._recompute else self._run_context(reference)
        noise = self._value(drawn)
        start = noise if self.profile.in_context else reference
        latent = self._sample(start, reference, context)
        with self._may_decode, self._timed("decode"):
            beside = guides | ({"guide": guide} if self._guided else {})
            beside |= {"noise": noise} if self._falling else {}
            frames, kept = self._run(
                "decode", latent=latent, memory=self._value(self._decoder_memory), **beside
            )
            self._decoder_memory = _own(kept)
        with self._timed("commit"):
            if self.profile.ring + self.profile.sink:
                _, kept = self._denoise(latent, 0.0, reference, context)
                self._past.push(_own(kept))
                self._place_past()
        realized = chunk.with_frames(_own(frames)[-len(chunk) :])
        return replace(with_prompt(realized, self._fade), seed=seed)

    def memory(self) -> dict[str, NDArray[Any]]:
        """Return all that later chunks depend on besides the prompt and the seed."""
        return {
            "encoder": self._encoder_memory,
            "decoder": self._decoder_memory,
            "next": np.array([self._noise.chunk, self._due]),
            **self._past.parts(),
        }

    def recall(self, memory: Mapping[str, NDArray[Any]]) -> None:
        """Go on as if the chunks before `memory` had just been realized."""
        self.reset()
        self._encoder_memory, self._decoder_memory = (
            np.ascontiguousarray(memory[name]) for name in ("encoder", "decoder")
        )
        chunk, self._due = map(int, memory["next"])
        self._noise.go_to(chunk)
        self._past.refill(memory)
        self._place_past()

    def sibling(self) -> OnnxEngine:
        """Return an engine for another camera: it shares the sessions and has its own past."""
        other = copy(self)
        other._noise, other._fade = copy(self._noise), copy(self._fade)
        other.reset()
        return other

    def close(self) -> None:
        """Release the sessions; may be called twice."""
        self._sessions = {}

    def __enter__(self) -> OnnxEngine:
        """Return self."""
        return self

    def __exit__(self, *exc: object) -> None:
        """Close."""
        self.close()

    def _sample(self, start: Any, reference: Any, context: Any) -> Any:
        """Return the clean latent: Euler steps along x_t = (1 - t) x_0 + t start."""
        x_t = start.numpy()
        with self._timed("denoise"):
            for t, t_next in zip(self._sigmas[:-1], self._sigmas[1:], strict=True):
                x0, _ = self._denoise(self._value(x_t), t, reference, context)
                x_t = x_t + np.float32((t_next - t) / t) * (x_t - x0.numpy())
        return self._value(x_t)

    def _fade_on(self) -> None:
        """Advance the prompt fade by one chunk: interpolate the prompts' keys and values."""
        new, weight = self.prompts[self._fade.prompt], np.float32(self._fade.weight)
        assert self._fade_start is not None
        self._shown = new if weight == 1.0 else self._fade_start * (1 - weight) + new * weight
        self._prompt = self._prompt_inputs()

    def _prompt_inputs(self) -> dict[str, Any]:
        """Return the graphs' prompt inputs; empty for a model without prompts."""
        return {} if self._shown is None else {"prompt_kv": self._value(self._shown)}

    def _run_context(self, reference: Any) -> Any:
        """Return the reference's keys and values; None for a model without reference tokens."""
        if not self.profile.in_context:
            return None
        rope = {"cos": self._cos, "sin": self._sin}
        return self._run("context", reference=reference, **rope, **self._prompt)[0]

    def _denoise(self, sample: Any, t: float, reference: Any, context: Any) -> Any:
        """Return x0 and the target's keys and values; without `context`, compute it first."""
        context = self._run_context(reference) if context is None else context
        return self._run(
            "denoise",
            sample=sample,
            timestep=self._value(np.full(1, t, np.float32)),
            reference=reference,
            **({} if context is None else {"reference_kv": context}),
            past_kv=self._past_kv,
            cos=self._cos,
            sin=self._sin,
            past_cos=self._past_cos,
            past_sin=self._past_sin,
            **self._prompt,
        )

    def _place_past(self) -> None:
        """Copy the past and its rotary tables into runtime values, once per chunk."""
        cos, sin = rope_tables(self._past.times(), *self._grid, **self._rope)
        self._past_kv = self._value(self._past.concatenated())
        self._past_cos, self._past_sin = self._value(cos), self._value(sin)

    def _run(self, name: str, **inputs: Any) -> Any:
        """Run a graph and return its outputs, which stay in the runtime's memory."""
        if not self._sessions:
            raise EngineError("expected an open engine, got a closed one: make a new OnnxEngine")
        session = self._sessions[name]
        return session.run_with_ort_values([out.name for out in session.get_outputs()], inputs)

    def _value(self, array: NDArray[Any]) -> Any:
        """Return an OrtValue over the array's own memory."""
        return self._runtime.OrtValue.ortvalue_from_numpy(array)

    def _choose_sigmas(self, steps: int | None) -> list[float]:
        """Return the noise levels for a number of steps (by default the model's)."""
        levels: dict[str, list[float]] = self.manifest["sigmas"]
        wanted = str(self.manifest["steps"] if steps is None else steps)
        if wanted not in levels:
            raise EngineError(
                f"expected steps among {', '.join(levels)}, got {wanted}: choose one of them"
            )
        return levels[wanted]

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        """Add the seconds that the block takes to `timings`."""
        start = time.perf_counter()
        yield
        self.timings[stage].append(time.perf_counter() - start)


def _own(value: Any) -> NDArray[Any]:
    """Return a copy of what lies in the runtime's memory."""
    copied: NDArray[Any] = value.numpy().copy()
    return copied
