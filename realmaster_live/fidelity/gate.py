"""An engine wrapper that scores realized pictures by the labels, and acts on those that fail."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from realmaster_live.errors import ConfigError
from realmaster_live.fidelity.blend import blend
from realmaster_live.fidelity.judge import EMBEDDED_FILE, Judge
from realmaster_live.fidelity.measure import measure
from realmaster_live.fidelity.regions import find_regions
from realmaster_live.fidelity.thresholds import DEFAULT_THRESHOLDS, JUDGE_THRESHOLDS, Thresholds
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.trust import FrameTrust, Verdict
from realmaster_live.live.wrapper import EngineWrapper, innermost, retrying
from realmaster_live.prompts import AS_SIMULATED
from realmaster_live.protocols import Engine

log = logging.getLogger(__name__)

Action = Literal["retry", "blend", "quarantine"]
PROMPTS_AS_RENDERED = (None, AS_SIMULATED)  # prompts under which colours can be compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One realization of a chunk; `failures` names what fails in each frame."""

    chunk: Chunk
    trust: tuple[FrameTrust, ...]
    failures: tuple[tuple[str, ...], ...]

    @property
    def passes(self) -> bool:
        """Return whether no frame fails."""
        return not any(self.failures)

    @property
    def rank(self) -> tuple[float, float]:
        """Return a sort key, lower for better attempts: by failures, then by lowest score."""
        scores = [trust.score for trust in self.trust if not math.isnan(trust.score)]
        return sum(map(len, self.failures)), -min(scores, default=1.0)


class FidelityGate(EngineWrapper):
    """Judges every realized frame by the simulator's labels and writes `chunk.trust`.

    The policy's actions are applied in order to a chunk that fails, until it passes: "retry"
    realizes it again from another seed and keeps the best attempt, "blend" replaces a lost object
    by the render's pixels, and "quarantine" keeps the picture and marks it for readers of the
    recording. An empty policy only writes the scores. Under a prompt for another weather than the
    simulator's, the thresholds are lowered and colours are not compared with the render's.

    Attributes:
        engine: the wrapped engine.
        verdicts: verdict -> number of frames. failures: name of a score -> number of frames.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        policy: Sequence[Action] = ("retry", "blend", "quarantine"),
        thresholds: Thresholds | None = None,
        judge: Judge | Path | str | None = None,
        attempts: int = 3,
    ) -> None:
        """Wrap an engine and own it.

        `judge` is the file of a judge network (see `judge.py`) or "embedded". `attempts` includes
        the first one. `thresholds` are DEFAULT_THRESHOLDS unless given, or JUDGE_THRESHOLDS with a
        judge.

        Raises:
            ConfigError: an action is unknown, or the engine cannot retry.
        """
        unknown = [action for action in policy if action not in get_args(Action)]
        if unknown or len(set(policy)) < len(policy):
            raise ConfigError(
                f"expected a policy of {', '.join(get_args(Action))}, each once, got "
                f"{', '.join(policy)}: correct it"
            )
        if attempts < 1:
            raise ConfigError(f"expected attempts of 1 or more, got {attempts}: 3 is usual")
        if "retry" in policy and retrying(engine) is None:
            raise ConfigError(
                "expected an engine that can realize a chunk again for the policy 'retry', got "
                f"{type(innermost(engine)).__name__}: leave 'retry' out"
            )
        super().__init__(engine)
        self.policy, self.attempts = tuple(policy), attempts
        self.thresholds = thresholds or (DEFAULT_THRESHOLDS if judge is None else JUDGE_THRESHOLDS)
        if isinstance(judge, (str, Path)):
            judge = Judge(EMBEDDED_FILE if judge == "embedded" else judge)
        self._judge = judge
        self.verdicts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self._closed = False

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the realized chunk after the policy's actions, with its trust scores.

        Raises:
            ConfigError: the chunk has no labels to judge by.
        """
        best, attempts = self._judged(self.engine.realize(chunk)), 1
        verdict: Verdict = "passed"
        blended: frozenset[int] = frozenset()
        for action in self.policy:
            if best.passes:
                break
            if action == "retry":
                best, attempts = self._retry(chunk, best)
                verdict = "retried"
            elif action == "blend":
                best, blended = self._blend(best)
        self.failures.update(name.split()[0] for each in best.failures for name in set(each))
        trust = []
        for index, (scores, failures) in enumerate(zip(best.trust, best.failures, strict=True)):
            final: Verdict = "blended" if index in blended else verdict
            if failures and "quarantine" in self.policy:
                final = "quarantined"
            self.verdicts[final] += 1
            trust.append(replace(scores, verdict=final, attempts=attempts))
        return replace(best.chunk, trust=tuple(trust))

    def close(self) -> None:
        """Close the engine, and log the verdicts; may be called twice."""
        super().close()
        if self.verdicts and not self._closed:
            counts = ", ".join(f"{count} {name}" for name, count in self.verdicts.items())
            log.info("frames by the fidelity gate: %s", counts)
        self._closed = True

    def _limits(self, chunk: Chunk) -> Thresholds:
        """Return the thresholds for a chunk's prompt."""
        as_rendered = chunk.prompt in PROMPTS_AS_RENDERED
        return self.thresholds if as_rendered else self.thresholds.relaxed()

    def _judged(self, chunk: Chunk) -> Attempt:
        """Return the chunk with its scores."""
        rendered = chunk.frames if chunk.rendered is None else chunk.rendered
        trust = tuple(
            measure(
                rendered[index],
                chunk.frames[index],
                {name: label[index] for name, label in chunk.labels.items()},
                chunk.objects[index] if chunk.objects else (),
                judge=self._judge,
                look=chunk.prompt in PROMPTS_AS_RENDERED,
                min_pixels=self.thresholds.min_pixels,
            )
            for index in range(len(chunk))
        )
        limits = self._limits(chunk)
        failures = tuple(limits.failures(scores) for scores in trust)
        return Attempt(chunk=chunk, trust=trust, failures=failures)

    def _retry(self, chunk: Chunk, first: Attempt) -> tuple[Attempt, int]:
        """Return the best attempt and their number; the engine is left in the best one's state."""
        engine = retrying(self.engine)
        assert engine is not None
        best = last = first
        attempts = 1
        for seed in self._seeds(first.chunk):
            last = self._judged(engine.realize_again(chunk, seed))
            attempts += 1
            best = min(best, last, key=lambda attempt: attempt.rank)
            if best.passes or np.array_equal(last.chunk.frames, first.chunk.frames):
                break  # where noise changes nothing, a third attempt is no better
        if best is not last:  # the engine is in the state of the last attempt
            assert best.chunk.seed is not None
            engine.realize_again(chunk, best.chunk.seed)
        return best, attempts

    def _seeds(self, chunk: Chunk) -> Iterator[int]:
        """Yield the seeds of the other attempts."""
        if chunk.seed is not None:
            yield from range(chunk.seed + 1, chunk.seed + self.attempts)

    def _blend(self, attempt: Attempt) -> tuple[Attempt, frozenset[int]]:
        """Return the chunk with lost objects taken from the render, and the frames that have some.

        Only pixels change: the engine's state stays that of its own result.
        """
        chunk, frames = attempt.chunk, attempt.chunk.frames.copy()
        rendered = frames if chunk.rendered is None else chunk.rendered
        blended_frames = set()
        limits = self._limits(chunk)
        for index, trust in enumerate(attempt.trust):
            lost = {thing.mask_id for thing in trust.instances if limits.thing_fails(thing)}
            regions = find_regions({name: label[index] for name, label in chunk.labels.items()})
            if not attempt.failures[index] or not lost or regions is None:
                continue
            blended_frames.add(index)
            parts = regions.things(1)
            parts = parts[np.isin(regions.mask_ids[parts], list(lost))]
            lost_pixels = np.isin(regions.numbers, parts)
            for part in parts:
                mask = regions.numbers == part
                frames[index] = blend(rendered[index], frames[index], mask, lost_pixels)
        if not blended_frames:
            return attempt, frozenset()
        return self._judged(replace(chunk, frames=frames)), frozenset(blended_frames)
