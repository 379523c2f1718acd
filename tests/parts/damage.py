"""Random damage to files and messages.

A test writes `check(rng)`, which draws a case, tries it and returns whether it was refused, and
gives it to its `fuzz`:

    @cases(few=40, many=5_000)
    def test_a_file(fuzz, tmp_path):
        fuzz("files", lambda rng: ...)

The few cases of the quick tests are drawn by hypothesis, which shrinks what fails. The many, marked
slow, are drawn by numbered generators, as hypothesis's own work takes longer than most of them:
FUZZ_CASE=17 in the environment checks case 17 alone, FUZZ_FIRST=1000000 others than usual.
"""

import copy
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ODD = [
    *(None, True, False, -1, 0, 0.5, 2**31 - 1, 2**63, -(10**400), 1e308, -1e308, 1e-320),
    *(float("nan"), float("inf"), "", "..", "../../etc/passwd", "/dev/zero", "a\0b", "\ud800"),
    *("x" * 5000, "front", "sim", "sim.mp4", "NaN", "1", [], {}, [[]], [{}], {"": None}),
]


Check = Callable[[random.Random], bool]
Fuzz = Callable[[str, Check], None]  # what is damaged, and how one case is checked


def cases(*, few: int, many: int) -> pytest.MarkDecorator:
    """Give a test its `fuzz`: once with few cases, and once, marked slow, with many."""
    marks = (pytest.mark.slow, pytest.mark.timeout(3600))  # minutes alone, more beside others
    slow = pytest.param(partial(_numbered, many), id="many", marks=marks)
    quick = [pytest.param(partial(_drawn, few), id="few")] if few else []
    return pytest.mark.parametrize("fuzz", [*quick, slow])


def _drawn(count: int, kind: str, check: Check) -> None:
    """Check cases that hypothesis draws, the same ones in every run."""

    @settings(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def run(rng: random.Random) -> None:
        check(rng)

    run()


def _numbered(count: int, kind: str, check: Check) -> None:
    """Check cases by number, of which some must be read and some refused; name one that fails."""
    first, one = int(os.environ.get("FUZZ_FIRST", "0")), os.environ.get("FUZZ_CASE")
    numbers = range(first, first + count) if one is None else [int(one)]
    refused, began_s = 0, time.monotonic()
    for number in numbers:
        try:
            refused += check(random.Random(f"{kind} {number}"))
        except BaseException:
            print(f"case {number} of {kind}: FUZZ_CASE={number} checks it alone")
            raise
    print(f"{kind}: {len(numbers)} cases, {refused} refused, {time.monotonic() - began_s:.0f} s")
    assert one is not None or 0 < refused < count


def changed(rng: random.Random, content: bytes, others: Sequence[bytes] = (b"",)) -> bytes:
    """Bytes after one to four of: bits flipped, an end cut, a piece replaced, another file."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        kind = rng.choice(("flip", "flip", "flip", "number", "cut", "put", "swap", "noise"))
        place = rng.randrange(max(1, len(data)))
        if rng.random() < 0.3:  # most formats keep what matters at their two ends
            place = min(place, rng.randrange(256))
        elif rng.random() < 0.3:
            place = max(place, len(data) - 1 - rng.randrange(256))
        if kind == "flip" and data:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == "number":
            length = rng.choice((1, 2, 4, 8))
            value = rng.choice((0, 1, -1, 2 ** (8 * length - 1) - 1, -(2 ** (8 * length - 1))))
            data[place : place + length] = value.to_bytes(length, "little", signed=True)
        elif kind == "cut":
            del data[place:]
        elif kind == "put":
            piece = rng.randbytes(rng.randrange(17))
            data[place : place + len(piece)] = piece
        elif kind == "swap" and rng.random() < 0.3:
            data = bytearray(rng.choice(others))
        elif kind == "noise":
            data[place : place + 8] = b"\xff" * 8
    return bytes(data)


def wrong(rng: random.Random, tree: Any) -> Any:
    """A JSON value, changed in its place: one to three values are odd ones, or keys renamed."""
    for _ in range(rng.randint(1, 3)):
        at = tree
        while at:
            key = rng.choice(list(at) if isinstance(at, dict) else range(len(at)))
            if isinstance(at[key], dict | list) and at[key] and rng.randrange(5):
                at = at[key]
                continue
            if isinstance(at, dict) and rng.randrange(6) == 0:
                at[text(rng)] = at.pop(key)
            else:
                at[key] = any_value(rng)
            break
    return tree


def wrong_json(rng: random.Random, content: bytes) -> bytes:
    """The bytes of a JSON file with some of its values replaced."""
    return as_json(wrong(rng, json.loads(content)))


def as_json(value: Any) -> bytes:
    """A value as JSON, infinities and lone surrogates included."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def any_value(rng: random.Random, keys: Sequence[str] = (), depth: int = 3) -> Any:
    """Any value that JSON has, odd ones often; objects have some of `keys`."""
    kind = rng.randrange(10 if depth else 7)
    if kind < 3:
        return copy.deepcopy(rng.choice(ODD))
    if kind == 3:
        return rng.randint(-100, 100)
    if kind == 4:
        return rng.randint(-(2**64), 2**64) >> rng.randrange(64)
    if kind == 5:
        return rng.choice((rng.random(), rng.uniform(-1e3, 1e3), 10 ** rng.uniform(-300, 300)))
    if kind == 6:
        return text(rng)
    if kind == 7 and (keys or rng.randrange(2)):
        names = [rng.choice(keys) if keys and rng.randrange(4) else text(rng) for _ in range(3)]
        return {name: any_value(rng, keys, depth - 1) for name in names[: rng.randrange(4)]}
    return [any_value(rng, keys, depth - 1) for _ in range(rng.randrange(5))]


def text(rng: random.Random) -> str:
    """Up to eight characters of any script."""
    return "".join(rng.choices('\0\t\n"./Aaä中😀', k=rng.randrange(9)))
