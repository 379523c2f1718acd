"""Keys and values in one buffer, against passes that concatenate them: a chunk of the mid-size net.

Both run the same weights on the same latents with a full past, in float32 on the CPU, in turn:

- *concatenated*: every pass rotates the keys of the past and concatenates [reference, target, past]
  anew, and the passes over reference and commit compute all of the last block;
- *stored*: the torch engine's passes. Keys are rotated as they are written, and once more when a
  chunk becomes the past; what a target attends to is one buffer; of the last block those two passes
  compute keys and values alone.

Prints each one's milliseconds, the ratio within the rounds, the operations of its products and the
bytes that torch copies, and how far the answers differ.

    python benchmarks/stored_keys.py [--rounds 5] [--steps 1 2 4]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from realmaster_live.engines.torch.buffers import Buffers
from realmaster_live.engines.torch.expert import Expert, Passes
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.model.autoencoders.opening import make_autoencoder
from realmaster_live.model.copy_counter import CopyCounter
from realmaster_live.model.sampling import euler_step, sigmas
from realmaster_live.model.steady_chunk import SteadyChunk
from realmaster_live.model.variants import CASES, STEPS
from realmaster_live.prompts import PromptTable
from realmaster_live.system.host import describe_host
from realmaster_live.training.estimate.meter import Meter

CASE = CASES["mid-size"]


class Stored:
    """The engine's passes over the weights, latents and past of a chunk."""

    def __init__(self, chunk: SteadyChunk) -> None:
        """Fill the store with the chunk's past, each earlier chunk without a past of its own."""
        profile = chunk.profile
        spec = ChunkSpec(
            frames=profile.chunk_frames, height=CASE.height, width=CASE.width, fps=20.0
        )
        with torch.device("meta"):
            autoencoder = make_autoencoder(profile)  # only sizes of its memories are asked for
        levels = sorted({t for steps in STEPS for t in sigmas(steps, profile.shift)})
        self.buffers = Buffers(
            profile,
            autoencoder,
            spec,
            torch.device("cpu"),
            levels,
            seed=0,
            prompt_tokens=profile.prompt_tokens,
        )
        (state,) = self.buffers.states
        self.expert = Expert(
            chunk.model,
            self.buffers,
            state,
            prompts=PromptTable({}),
            adapter=None,
            recompute=False,
            passes=Passes(),
        )
        assert state.prompt_kv is not None and chunk.prompt_kv is not None
        state.prompt_kv.copy_(chunk.prompt_kv)
        for latent, known, _ in chunk.past:
            self.buffers.reference.copy_(known)
            self.buffers.latent.copy_(latent)
            self.expert.context()
            self.expert.commit(0)
            self.expert.settle(self.buffers.slots)
            self.buffers.step()
        self.buffers.noise.copy_(chunk.noise)
        self.buffers.reference.copy_(chunk.reference)

    def realize(self, steps: int) -> Tensor:
        """Return the chunk's clean latent, and write its keys and values behind it."""
        past = self.buffers.past_tokens
        self.expert.context()
        x = self.buffers.noise
        for t, t_next in pairwise(sigmas(steps, self.expert.transformer.profile.shift)):
            x = euler_step(x, self.expert.predict(x, t, past), t, t_next)
        self.buffers.latent.copy_(x)
        self.expert.commit(past)
        return x

    def settle(self) -> None:
        """Make the chunk part of the past, as the engine does when the next one comes."""
        self.expert.settle(self.buffers.slots)


def counted(run: Callable[[], object]) -> tuple[float, float]:
    """Return TFLOP of a run's products, and the MB that torch copies."""
    with Meter() as meter:
        run()
    with CopyCounter() as counter:
        run()
    return meter.flop / 1e12, counter.bytes / 1e6


def timed(run: Callable[[], object]) -> float:
    """Return the milliseconds that a run takes."""
    began = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - began)


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS))
    options = parser.parse_args()
    chunk = SteadyChunk(CASE)
    host = describe_host()
    print(f"{CASE.profile.name} at {CASE.width}x{CASE.height}, {chunk.tokens} tokens; {host}")
    print(f"{'steps':>5}  {'passes':<14}{'ms':>9}{'ratio':>8}{'TFLOP':>9}{'MB copied':>11}")
    for steps in options.steps:
        stored = Stored(chunk)
        made = stored.realize(steps)  # before any settling: both have the same past
        expected, _ = chunk.cached(steps, past=True)
        apart = float((made - expected).abs().max())

        def new(stored: Stored = stored, steps: int = steps) -> None:
            stored.realize(steps)
            stored.settle()

        def old(steps: int = steps) -> None:
            chunk.cached(steps, past=True)

        times = [(timed(old), timed(new)) for _ in range(options.rounds)]
        ratio = statistics.median(before / after for before, after in times)
        for name, run, column, share in (("concatenated", old, 0, ratio), ("stored", new, 1, 1.0)):
            flop, copied = counted(run)
            took = statistics.median(row[column] for row in times)
            print(f"{steps:>5}  {name:<14}{took:>9.1f}{share:>8.2f}{flop:>9.4f}{copied:>11.1f}")
        print(f"       the answers differ by {apart:.2g}")


if __name__ == "__main__":
    main()
