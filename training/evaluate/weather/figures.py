"""Figures of weathers: recognised or not, what they cost the labels, and the seams of a change."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from realmaster_live.errors import ConfigError
from realmaster_live.fidelity.judge import Judge
from realmaster_live.protocols import PromptedEngine
from realmaster_live.training.data import AS_SIMULATED
from realmaster_live.training.evaluate.bars import Bar
from realmaster_live.training.evaluate.drives.films import first_frames
from realmaster_live.training.evaluate.drives.sources import DriveSource
from realmaster_live.training.evaluate.weather.judging import WeatherJudge
from realmaster_live.training.evaluate.weather.passes import TRUST, Change, Pass, run
from realmaster_live.training.evaluate.weather.truth import Hidden

LEAST_RECOGNISED = 0.9
LEAST_CHUNKS = 4  # before a change and after it


@dataclass(frozen=True, kw_only=True)
class Weather:
    """The figures of one prompt on one drive.

    Attributes:
        recognised: share of the chunks of the prompt alone that the judge names so.
        truth: the same of path-traced pictures of other towns, NaN where it is not known.
        before: share of the chunks before the change that it names so: false alarms.
        trust: agreement with the labels under the prompt, by score.
        loss: what that is below the same frames as simulated.
        seam: largest seam ratio of a border of the change.
        ordinary: largest one of the other borders of both films. mean: of those.
        cut: largest seam ratio where the prompt is switched without a fade.
    """

    recognised: float
    truth: float
    before: float
    trust: Mapping[str, float]
    loss: Mapping[str, float]
    seam: float
    ordinary: float
    mean: float
    cut: float

    def facts(self) -> dict[str, Any]:
        """Return everything for a JSON file; what is not known is null."""
        return {name: _known(value) for name, value in asdict(self).items()}


def _known(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _known(each) for name, each in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def plan_change(
    source: DriveSource,
    engine: PromptedEngine,
    prompt: str,
    fade: int,
    frames: int,  # of the drive that are realized
) -> Change:
    """Return the change to a prompt in the middle of a drive.

    Raises:
        ConfigError: the drive is too short for it.
    """
    count = frames // engine.spec.frames
    at = (count - fade) // 2
    if at < LEAST_CHUNKS:
        least = (fade + 2 * LEAST_CHUNKS) * engine.spec.frames
        raise ConfigError(
            f"expected a drive of {least} frames or more for a fade of {fade} chunks, got "
            f"{frames} in {source.name}: record a longer one, or shorten --fade"
        )
    return Change(prompt=prompt, at=at, fade=fade)


def measure_weathers(
    engine: PromptedEngine,
    source: DriveSource,
    prompts: Sequence[str],
    judge: WeatherJudge,
    *,
    fade: int,
    seconds: float | None = None,
    labels_judge: Judge | None = None,
    watch: Callable[..., object] = lambda prompt, sample, picture, chunk: None,
    report: Callable[[str], object] = lambda line: None,
) -> dict[str, Weather]:
    """Return prompt -> figures, each of a drive that begins as simulated and changes in its middle.

    With `seconds` only the first ones of the drive count. `watch` is called with the prompt, every
    sample, its realized picture and its chunk.
    """
    frames = first_frames(seconds, source.fps, len(source))

    def played(prompt: str, change: Change | None, *, seen: bool) -> Pass:
        report(f"{source.name}: {prompt}" + ("" if change is None else f", fade {change.fade}"))
        return run(
            engine,
            source,
            AS_SIMULATED,
            change,
            frames=frames,
            name=judge.name,
            judge=labels_judge if seen else None,
            watch=(lambda *given: watch(prompt, *given)) if seen else (lambda *given: None),
        )

    plain = played(AS_SIMULATED, None, seen=True)
    found = {}
    for prompt in prompts:
        change = plan_change(source, engine, prompt, fade, frames)
        faded = played(prompt, change, seen=True)
        sudden = Change(prompt=prompt, at=change.at, fade=0)
        found[prompt] = weather(plain, faded, played(prompt, sudden, seen=False), change, judge)
    return found


def weather(plain: Pass, faded: Pass, cut: Pass, change: Change, judge: WeatherJudge) -> Weather:
    """Return the figures of a change, against the drive as simulated and a change without fade."""
    borders = faded.borders()
    changing = [at for at in borders if change.at <= at <= change.settled]
    ordinary = [value for at, value in borders.items() if at not in changing]
    ordinary += plain.borders().values()
    settled = faded.named[change.settled :]
    trust, reference = faded.mean_trust(change.settled), plain.mean_trust(change.settled)
    return Weather(
        recognised=_share(settled, change.prompt),
        truth=judge.truth.get(change.prompt, float("nan")),
        before=_share(faded.named[: change.at], change.prompt),
        trust=trust,
        loss={name: reference[name] - trust[name] for name in TRUST},
        seam=max(borders[at] for at in changing),
        ordinary=max(ordinary),
        mean=float(np.mean(ordinary)),
        cut=cut.borders()[change.at],
    )


def _share(named: Sequence[str], prompt: str) -> float:
    return float(np.mean([each == prompt for each in named]))


def bars(found: Mapping[str, Weather], hidden: Mapping[str, Hidden], most_loss: float) -> list[Bar]:
    """Return what each weather has to reach, and whether it does.

    What the path-traced truth loses too is no fault, where it was measured.
    """
    made = []
    for prompt, each in found.items():
        made += [
            Bar(
                name=f"{prompt}: recognised, less false alarms",
                value=each.recognised - each.before,
                bar=LEAST_RECOGNISED,
                note=f"{each.recognised:.2f} after, {each.before:.2f} before"
                + ("" if math.isnan(each.truth) else f"; truth of other towns {each.truth:.2f}"),
            ),
            _loss_bar(prompt, each.loss, hidden.get(prompt), most_loss),
            Bar(
                name=f"{prompt}: largest seam of the change",
                value=each.seam,
                bar=round(each.ordinary, 3),
                at_most=True,
                note=f"largest ordinary one; mean {each.mean:.2f}; without a fade {each.cut:.2f}",
            ),
        ]
    return made


def _loss_bar(
    prompt: str, loss: Mapping[str, float], hidden: Hidden | None, most_loss: float
) -> Bar:
    """Return the bar of the score that loses most: beyond the truth, or in the drive alone."""
    beyond = {} if hidden is None else hidden.beyond
    faults = {name: value for name, value in loss.items() if not math.isnan(value)}
    faults |= {name: value.value for name, value in beyond.items()}
    worst = max(faults, key=lambda name: faults[name], default="")
    note = f"{worst} in the drive; what the truth loses is not known"
    if hidden is not None and worst in beyond:
        low, high = beyond[worst].interval
        note = (
            f"{worst}, {low:.2f} to {high:.2f} of {hidden.clips} clips: realized "
            f"{hidden.realized[worst]:.2f}, truth {hidden.truth[worst]:.2f}"
        )
    return Bar(
        name=f"{prompt}: loss of agreement with labels",
        value=faults.get(worst),
        bar=most_loss,
        at_most=True,
        note=note if faults else "the drive has no labels",
    )


def table(found: Mapping[str, Weather]) -> list[str]:
    """Return the lines of a table of Markdown."""
    shown = [name for name in TRUST if any(not math.isnan(e.trust[name]) for e in found.values())]
    heads = ["prompt", "recognised", "truth", "before", *(name.replace("_", " ") for name in shown)]
    heads += ["seam of the change", "ordinary: mean, largest", "without a fade"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for prompt, each in found.items():
        cells = [prompt, *(_percent(x) for x in (each.recognised, each.truth, each.before))]
        cells += [f"{each.trust[name]:.2f} ({-each.loss[name]:+.2f})" for name in shown]
        cells += [f"{each.seam:.2f}", f"{each.mean:.2f}, {each.ordinary:.2f}", f"{each.cut:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def hidden_table(hidden: Mapping[str, Hidden]) -> list[str]:
    """Return the lines of a table of Markdown: what realized pictures lose, and truth."""
    shown = [name for name in TRUST if any(name in each.beyond for each in hidden.values())]
    heads = ["prompt", *(name.replace("_", " ") for name in shown), "most beyond the truth's"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for prompt, each in hidden.items():
        cells = [
            f"{-each.realized[name]:+.2f} (truth {-each.truth[name]:+.2f})"
            if name in each.beyond
            else ""
            for name in shown
        ]
        worst = max(each.beyond, key=lambda name: each.beyond[name].value, default="")
        cells.append("")
        if worst:
            value, (low, high) = each.beyond[worst].value, each.beyond[worst].interval
            cells[-1] = f"{value:.2f} [{low:.2f}, {high:.2f}], {worst.replace('_', ' ')}"
        lines.append(f"| {' | '.join([prompt, *cells])} |")
    return lines


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{100 * share:.0f} %"
