"""The options by which realized pictures are held to the labels, and the engines that do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from realmaster_live.cli.values import Count, Flag, Names, Value, number, read_numbers
from realmaster_live.errors import ConfigError

if TYPE_CHECKING:
    from realmaster_live.protocols import PromptedEngine

SCORE = "score"  # the policy that acts on nothing
Scores = Annotated[
    Mapping[str, float],
    Value(read=read_numbers, expected="scores such as edges=0.8,boxes=0.4", metavar="SCORE=X,..."),
]


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Fidelity to the labels.

    Attributes:
        fidelity: Judge every frame, and try these actions in turn on a chunk that fails: retry,
            blend and quarantine. The word score alone only writes the scores.
        attempts: How many times a chunk is realized at most under the action retry.
        thresholds: The lowest scores that pass, such as edges=0.8,boxes=0.4. A threshold of 0
            switches that score off.
        judge: Judge with a network as well: the word embedded, or an ONNX file.
        lock: Keep the rendered colours of traffic lights, traffic signs and lane paint.
        lock_classes: Keep the rendered colours of these classes instead.
        steady: The share of what was added to a surface a frame earlier that is kept, where the
            label depth or flow leads to it. Without it, 0.9 for the embedded model, which pulses
            at the borders of its chunks, and 0 for others.
    """

    fidelity: Annotated[Names | None, Flag(metavar="ACTION,...")] = None
    attempts: Count = 3
    thresholds: Annotated[Scores, Flag(formerly="least")] = field(default_factory=dict)
    judge: Annotated[str | None, Flag(metavar="FILE")] = None
    lock: bool = False
    lock_classes: Annotated[Names | None, Flag(metavar="CLASS,...")] = None
    steady: Annotated[float, number(float, least=0, most=0.99, metavar="SHARE")] | None = None

    @property
    def is_given(self) -> bool:
        """Whether any option but `attempts` was given."""
        return replace(self, attempts=3) != Fidelity()


def wrap(engine: PromptedEngine, options: Fidelity) -> PromptedEngine:
    """Return the engine inside what fades and steadies it, and the lock and gate asked for.

    The options may have been through JSON, as a job's for its workers are.

    Raises:
        ConfigError: options of the gate without --fidelity, or a value of theirs is wrong.
    """
    from realmaster_live.fidelity.dissolve import dissolving
    from realmaster_live.fidelity.steady import steadied

    engine = steadied(dissolving(engine), options.steady)
    if options.lock or options.lock_classes:
        from realmaster_live.fidelity.lock import LOCKED, SafetyLock

        engine = SafetyLock(engine, classes=options.lock_classes or LOCKED)
    if options.fidelity is None:
        if options.thresholds or options.judge:
            raise ConfigError(
                "expected --fidelity with --thresholds and --judge, got them alone: add "
                "--fidelity score"
            )
        return engine
    from realmaster_live.fidelity.gate import FidelityGate
    from realmaster_live.fidelity.thresholds import DEFAULT_THRESHOLDS, JUDGE_THRESHOLDS, Thresholds

    known = [one.name for one in fields(Thresholds)]
    unknown = [name for name in options.thresholds if name not in known]
    if unknown:
        remedy = "correct it"
        if "least_px" in unknown:  # its earlier name
            remedy = "least_px is now called min_pixels"
        raise ConfigError(
            f"expected scores among {', '.join(known)} in --thresholds, got {', '.join(unknown)}: "
            f"{remedy}"
        )
    changes: dict[str, Any] = {
        name: int(value) if name == "min_pixels" else value
        for name, value in options.thresholds.items()
    }
    actions: Any = () if tuple(options.fidelity) == (SCORE,) else tuple(options.fidelity)
    return FidelityGate(
        engine,
        policy=actions,
        thresholds=replace(
            DEFAULT_THRESHOLDS if options.judge is None else JUDGE_THRESHOLDS, **changes
        ),
        judge=options.judge if options.judge in (None, "embedded") else Path(options.judge),
        attempts=options.attempts,
    )
