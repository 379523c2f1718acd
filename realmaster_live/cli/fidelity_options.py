"""The flags by which realized pictures are held to the labels, and the engines that do it."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path

from realmaster_live.errors import ConfigError
from realmaster_live.protocols import PromptedEngine

SCORE = "score"  # the policy that acts on nothing


def add(parser: argparse.ArgumentParser) -> None:
    """Add --fidelity and what goes with it, and --lock."""
    group = parser.add_argument_group("fidelity to the labels")
    group.add_argument(
        "--fidelity",
        type=_names,
        metavar="ACTIONS",
        help="judge every frame, and meet a chunk that fails with these in turn: a list of retry,"
        " blend, quarantine; or score, which only writes the scores",
    )
    group.add_argument(
        "--attempts",
        type=int,
        default=3,
        metavar="N",
        help="how often a chunk is realized at most with --fidelity retry (default: 3)",
    )
    group.add_argument(
        "--least",
        type=_numbers,
        default={},
        metavar="SCORES",
        help="scores that pass, such as edges=0.8,boxes=0.4; 0 switches one off",
    )
    group.add_argument(
        "--judge",
        metavar="FILE",
        help="a network that judges too: embedded, or an ONNX file (default: none)",
    )
    group.add_argument(
        "--lock", action="store_true", help="keep the render's colours of lights, signs and paint"
    )
    group.add_argument(
        "--lock-classes",
        type=_names,
        metavar="CLASSES",
        help="keep them of these classes instead (default: traffic_light,traffic_sign,road_line)",
    )


def wrap(engine: PromptedEngine, options: argparse.Namespace) -> PromptedEngine:
    """Return the engine inside the lock and the gate that the flags ask for.

    The flags may have been through JSON, as a job's for its workers are.

    Raises:
        ConfigError: flags of the gate without --fidelity, or a value of theirs is wrong.
    """
    if options.lock or options.lock_classes:
        from realmaster_live.fidelity.lock import LOCKED, SafetyLock

        engine = SafetyLock(engine, classes=options.lock_classes or LOCKED)
    if options.fidelity is None:
        if options.least or options.judge:
            raise ConfigError(
                "expected --fidelity with --least and --judge, got them alone: add --fidelity score"
            )
        return engine
    from realmaster_live.fidelity.gate import FidelityGate
    from realmaster_live.fidelity.thresholds import JUDGED, USUAL, Thresholds

    known = [field.name for field in fields(Thresholds)]
    unknown = [name for name in options.least if name not in known]
    if unknown:
        raise ConfigError(
            f"expected scores among {', '.join(known)} in --least, got {', '.join(unknown)}: "
            "correct it"
        )
    least = {
        name: int(value) if name == "least_px" else value for name, value in options.least.items()
    }
    return FidelityGate(
        engine,
        policy=() if tuple(options.fidelity) == (SCORE,) else tuple(options.fidelity),
        thresholds=replace(USUAL if options.judge is None else JUDGED, **least),
        judge=options.judge if options.judge in (None, "embedded") else Path(options.judge),
        attempts=options.attempts,
    )


def _names(text: str) -> tuple[str, ...]:
    """Return the names of a list such as retry,blend."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(text: str) -> dict[str, float]:
    """Return the numbers of a list such as edges=0.8,boxes=0.4."""
    numbers = {}
    for part in _names(text):
        name, _, value = part.partition("=")
        try:
            numbers[name] = float(value)
        except ValueError:
            raise argparse.ArgumentTypeError(
                f"expected scores such as edges=0.8,boxes=0.4, got {part!r}"
            ) from None
    return numbers
