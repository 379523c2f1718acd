"""Times variants of running one network, to measure the gain of the cached reference.

Legend: N tokens of a chunk, P tokens of the past, S denoise steps.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch

from realmaster_live.model.concatenated import DiffusersTransformer
from realmaster_live.model.copy_counter import CopyCounter
from realmaster_live.model.cost import pass_flop
from realmaster_live.model.profile import EMBEDDED, WAN_5B
from realmaster_live.model.steady_chunk import BenchCase, Result, SteadyChunk

STEPS = (1, 2, 4)
CACHED, RECOMPUTED = "cached reference", "recomputed every pass"
MID_SIZE = replace(
    WAN_5B, name="mid-size", width=768, layers=10, heads=6, hidden=3584, prompt_tokens=64
)
"""Wan2.2-5B's structure at a width and depth that two CPU cores can run."""


CASES = {
    "embedded": BenchCase(profile=EMBEDDED, width=512, height=288, rounds=9),
    "mid-size": BenchCase(profile=MID_SIZE, width=384, height=224, rounds=3),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """The measurements of one variant at one number of steps.

    Attributes:
        way: the variant's name, under the key that benchmark files use.
        against: the variant that it is compared with, which attends to the same chunks.
        ms: median time of a chunk.
        ratio: median over the rounds of its time divided by that of `against`.
        expected: the ratio of their FLOP by `model.cost`.
        copied: bytes that torch copies per frame.
        equals: the variant that should have the same result, if any.
        difference: the largest difference from that variant's result.
    """

    case: str
    steps: int
    way: str
    against: str
    ms: float
    ratio: float
    expected: float
    copied: float
    equals: str | None
    difference: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A way to compute a chunk: `run(steps)`, its `flop(steps)`, and its baseline `against`."""

    name: str
    against: str
    equals: str | None
    run: Callable[[int], Result]
    flop: Callable[[int], float]


def variants(chunk: SteadyChunk) -> list[Variant]:
    """Return the variants for a chunk; each baseline comes before the variants compared with it."""
    profile, n = chunk.profile, chunk.tokens
    p = len(chunk.past) * n

    def passes(queries: int, keys: int) -> float:
        return pass_flop(profile, queries, keys)

    def variant(name: str, against: str, equals: str | None, run: Any, flop: Any) -> Variant:
        return Variant(name=name, against=against, equals=equals, run=run, flop=flop)

    context, target, alone = passes(n, n), passes(n, 2 * n + p), passes(n, 2 * n)
    short, full = passes(2 * n, 2 * n), passes(2 * n + p, 2 * n + p)
    cached, no_past = CACHED, "cached, no past"
    alternatives = [
        variant(
            cached,
            cached,
            None,
            partial(chunk.cached, past=True),
            lambda s: (
                context + (s + 1) * target
            ),  # eager: a full pass, where engines only fill the store
        ),
        variant(
            RECOMPUTED,
            cached,
            cached,
            partial(chunk.cached, past=True, recompute=True),
            lambda s: (s + 1) * (context + target),
        ),
        variant(
            "concatenated, past as frames",
            cached,
            None,
            partial(chunk.concatenated, past=True),
            lambda s: s * full,
        ),
        variant(
            no_past,
            no_past,
            None,
            partial(chunk.cached, past=False),
            lambda s: context + s * alone,
        ),
        variant(
            "concatenated, no past",
            no_past,
            None,
            partial(chunk.concatenated, past=False),
            lambda s: s * short,
        ),
    ]
    if not profile.aligned and profile.text_width and find_spec("diffusers") is not None:
        diffusers = DiffusersTransformer(chunk.model, bf16=chunk.bf16)
        run = partial(chunk.concatenated, past=False, diffusers=diffusers)
        alternatives.append(
            variant(
                "diffusers, no past", no_past, "concatenated, no past", run, lambda s: s * short
            )
        )
    return alternatives


@torch.no_grad()
def compare(name: str, case: BenchCase, steps: Sequence[int] = STEPS) -> Iterator[Row]:
    """Yield the rows of a case, grouped by number of steps.

    Every round runs all variants in turn, so that other load on the machine affects all of them
    equally. The first run of a variant is a warm-up, in which its copies are counted.
    """
    cast = partial(torch.autocast, "cpu", torch.bfloat16, enabled=case.bf16)
    with cast():
        chunk = SteadyChunk(case)
        alternatives = variants(chunk)
    for count in steps:
        answers: dict[str, Result] = {}
        copied: dict[str, int] = {}
        for variant in alternatives:
            with cast(), CopyCounter() as counter:
                answers[variant.name] = variant.run(count)
            copied[variant.name] = counter.bytes
        seconds: dict[str, list[float]] = {variant.name: [] for variant in alternatives}
        for _ in range(case.rounds):
            for variant in alternatives:
                began = time.perf_counter()
                with cast():
                    variant.run(count)
                seconds[variant.name].append(time.perf_counter() - began)
        flop = {variant.name: variant.flop(count) for variant in alternatives}
        for variant in alternatives:
            pairs = zip(seconds[variant.name], seconds[variant.against], strict=True)
            yield Row(
                case=name,
                steps=count,
                way=variant.name,
                against=variant.against,
                ms=1e3 * statistics.median(seconds[variant.name]),
                ratio=statistics.median(own / other for own, other in pairs),
                expected=flop[variant.name] / flop[variant.against],
                copied=copied[variant.name] / case.profile.chunk_frames,
                equals=variant.equals,
                difference=difference(answers[variant.name], answers[variant.equals])
                if variant.equals
                else None,
            )


def difference(left: Result, right: Result) -> float:
    """Return the largest difference of two results, over the tensors that both have."""
    pairs = zip(left, right, strict=True)
    return max(
        float((a.float() - b.float()).abs().max())
        for a, b in pairs
        if a is not None and b is not None
    )
