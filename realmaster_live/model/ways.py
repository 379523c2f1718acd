"""One network with one set of weights, run in several ways: what the cached reference is worth.

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

from realmaster_live.model.copies import CopyCounter
from realmaster_live.model.cost import pass_flop
from realmaster_live.model.joined import DiffusersForm
from realmaster_live.model.profile import EMBEDDED, WAN_5B
from realmaster_live.model.scene import Answer, Case, Scene

STEPS = (1, 2, 4)
CACHED, RECOMPUTED = "cached reference", "recomputed every pass"
MID_SIZE = replace(
    WAN_5B, name="mid-size", width=768, layers=10, heads=6, hidden=3584, prompt_tokens=64
)
"""Wan2.2-5B's shape at a width and depth that two cores can carry."""


CASES = {
    "embedded": Case(profile=EMBEDDED, width=512, height=288, rounds=9),
    "mid-size": Case(profile=MID_SIZE, width=384, height=224, rounds=3),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way at one number of steps.

    Attributes:
        against: the way that it is compared with; it sees the same chunks.
        ms: median of a chunk. ratio: median over the rounds of its time over that of `against`.
        expected: the ratio of their arithmetic, by `model.cost`.
        copied: bytes that torch copies for one frame.
        equals: the way whose answer it should have, if any. difference: the largest from that one.
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
class Way:
    """How a chunk is computed: `run(steps)`, its arithmetic, and what it is compared with."""

    name: str
    against: str
    equals: str | None
    run: Callable[[int], Answer]
    flop: Callable[[int], float]


def ways(scene: Scene) -> list[Way]:
    """Return the ways to compute a scene's chunk; the first of a comparison comes before it."""
    profile, n = scene.profile, scene.tokens
    p = len(scene.past) * n

    def passes(queries: int, keys: int) -> float:
        return pass_flop(profile, queries, keys)

    def way(name: str, against: str, equals: str | None, run: Any, flop: Any) -> Way:
        return Way(name=name, against=against, equals=equals, run=run, flop=flop)

    context, target, alone = passes(n, n), passes(n, 2 * n + p), passes(n, 2 * n)
    short, full = passes(2 * n, 2 * n), passes(2 * n + p, 2 * n + p)
    cached, brief = CACHED, "cached, no past"
    found = [
        way(
            cached,
            cached,
            None,
            partial(scene.cached, past=True),
            lambda s: context + (s + 1) * target,
        ),
        way(
            RECOMPUTED,
            cached,
            cached,
            partial(scene.cached, past=True, again=True),
            lambda s: (s + 1) * (context + target),
        ),
        way(
            "joined, past as frames",
            cached,
            None,
            partial(scene.joined, past=True),
            lambda s: s * full,
        ),
        way(
            brief,
            brief,
            None,
            partial(scene.cached, past=False),
            lambda s: context + s * alone,
        ),
        way("joined, no past", brief, None, partial(scene.joined, past=False), lambda s: s * short),
    ]
    if not profile.aligned and profile.text_width and find_spec("diffusers") is not None:
        theirs = DiffusersForm(scene.model, bf16=scene.bf16)
        run = partial(scene.joined, past=False, theirs=theirs)
        found.append(way("diffusers, no past", brief, "joined, no past", run, lambda s: s * short))
    return found


@torch.no_grad()
def compare(name: str, case: Case, steps: Sequence[int] = STEPS) -> Iterator[Row]:
    """Yield the rows of a case, all of one number of steps at a time.

    Every round runs all ways in turn, so that whatever else the machine does burdens all alike. The
    first run of a way counts its copies and warms it up.
    """
    cast = partial(torch.autocast, "cpu", torch.bfloat16, enabled=case.bf16)
    with cast():
        scene = Scene(case)
        found = ways(scene)
    for count in steps:
        answers: dict[str, Answer] = {}
        copied: dict[str, int] = {}
        for way in found:
            with cast(), CopyCounter() as counter:
                answers[way.name] = way.run(count)
            copied[way.name] = counter.bytes
        seconds: dict[str, list[float]] = {way.name: [] for way in found}
        for _ in range(case.rounds):
            for way in found:
                began = time.perf_counter()
                with cast():
                    way.run(count)
                seconds[way.name].append(time.perf_counter() - began)
        flop = {way.name: way.flop(count) for way in found}
        for way in found:
            pairs = zip(seconds[way.name], seconds[way.against], strict=True)
            yield Row(
                case=name,
                steps=count,
                way=way.name,
                against=way.against,
                ms=1e3 * statistics.median(seconds[way.name]),
                ratio=statistics.median(own / other for own, other in pairs),
                expected=flop[way.name] / flop[way.against],
                copied=copied[way.name] / case.profile.chunk_frames,
                equals=way.equals,
                difference=difference(answers[way.name], answers[way.equals])
                if way.equals
                else None,
            )


def difference(left: Answer, right: Answer) -> float:
    """Return the largest difference of two answers, in what both hold."""
    pairs = zip(left, right, strict=True)
    return max(
        float((a.float() - b.float()).abs().max())
        for a, b in pairs
        if a is not None and b is not None
    )
