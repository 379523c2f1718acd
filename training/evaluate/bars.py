"""The embedded model's targets (bars) on held-out clips, and whether it meets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from realmaster_live.system.pages import aligned
from realmaster_live.training.evaluate.clips import TRAINED_LOOK


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One metric and its target; `value` is None if the clips do not measure it.

    Attributes:
        most: True if `bar` is an upper limit, False if it is a lower one.
        note: the measurements behind the value.
    """

    name: str
    value: float | None
    bar: float
    at_most: bool = False
    unit: str = ""
    note: str = ""

    @property
    def verdict(self) -> str:
        """Return passed, missed or not measured."""
        if self.value is None:
            return "not measured"
        return (
            "passed"
            if (self.value <= self.bar) == self.at_most or self.value == self.bar
            else ("missed")
        )

    def facts(self) -> dict[str, Any]:
        """Return the bar for a JSON file."""
        value = None if self.value is None else round(self.value, 4)
        limit = "at most" if self.at_most else "at least"
        return {
            "name": self.name,
            "value": value,
            limit: self.bar,
            "unit": self.unit,
            "verdict": self.verdict,
            "note": self.note,
        }


def _near_truth(
    what: str, realized: Mapping[str, float], decibels: float, features: float, *, most: float
) -> tuple[Bar, Bar]:
    """Return the bars of feature distance and PSNR beside those of one kind of render."""
    return (
        Bar(
            name=f"feature distance relative to {what}'s",
            value=realized["features"] / features,
            bar=most,
            at_most=True,
            note=f"{realized['features']:.3f} of {features:.3f}",
        ),
        Bar(
            name=f"PSNR over {what}",
            value=realized["psnr_db"] - decibels,
            bar=8.0,
            unit="dB",
            note=f"{decibels:.2f} -> {realized['psnr_db']:.2f}",
        ),
    )


def bars_of(result: Mapping[str, Any]) -> list[Bar]:
    """Return all bars, from the metrics of `evaluate`."""
    render, realized = result["render"], result["realized"]
    warp, rollout, lights = result["warp"], result["drift"], result["lights"]
    looks, prompted = result.get("looks", {}), result.get("prompted", {})
    aliased = looks.get(f"{TRAINED_LOOK}-aliased")
    bars = [
        *_near_truth("the render", realized, render["psnr_db"], render["features"], most=0.7),
        *(
            _near_truth(
                "the aliased render",
                realized,
                *(aliased[key] for key in ("render_db", "render_features")),
                most=0.5,
            )
            if aliased
            else ()
        ),
        *(
            Bar(
                name=f"gain in look {look} relative to look {TRAINED_LOOK}",
                value=figures["gain_db"] / figures["gain_a_db"] if figures else None,
                bar=0.7,
                note=(
                    f"{figures['gain_db']:+.2f} against {figures['gain_a_db']:+.2f} dB on the same "
                    f"{figures['clips']} clips; {figures['render_db']:.2f} -> "
                    f"{figures['realized_db']:.2f}"
                    if figures
                    else f"no clips of look {look}"
                ),
            )
            for look, figures in ({"B": None} | looks).items()
            if figures is not aliased or figures is None
        ),
        Bar(
            name="flow-warp error relative to the truth's",
            value=warp["realized"] / warp["truth"],
            bar=1.25,
            at_most=True,
            note=f"x 1000: {1e3 * warp['realized']:.3f}, truth {1e3 * warp['truth']:.3f}, render "
            f"{1e3 * warp['render']:.3f}",
        ),
        *(
            Bar(
                name=f"drift of {what} in {rollout['seconds']:.0f} s",
                value=rollout[f"worst_{key}_percent"],
                bar=10.0,
                at_most=True,
                unit="%",
                note=f"{rollout[f'{key}_percent']:.2f} % at the end",
            )
            for what, key in (("mean colour", "colour"), ("contrast", "contrast"))
        ),
        Bar(
            name=f"trend of mean colour in {rollout['seconds']:.0f} s",
            value=abs(rollout["percent_a_minute"]) * rollout["seconds"] / 60.0,
            bar=1.0,
            at_most=True,
            unit="%",
            note=f"{rollout['percent_a_minute']:+.3f} % a minute, from "
            f"{rollout['percent_a_minute_low']} to {rollout['percent_a_minute_high']}",
        ),
        *(
            Bar(
                name=f"{prompt} recognised",
                value=100.0 * prompted[prompt]["recognised"] if prompt in prompted else None,
                bar=90.0,
                unit="%",
                note=(
                    f"{prompted[prompt]['chunks']} chunks; truth "
                    f"{100 * prompted[prompt]['truth_recognised']:.0f} %"
                    if prompt in prompted
                    else "no clips with this prompt"
                ),
            )
            for prompt in ("rain", "snow", "fog", "night")
        ),
        Bar(
            name="traffic lights kept",
            value=None if lights["kept"] is None else 100.0 * lights["kept"],
            bar=99.0,
            unit="%",
            note=f"{lights['judged']} judged of {lights['readable']} readable",
        ),
    ]
    return bars


def table(bars: Sequence[Bar]) -> str:
    """Return the bars as lines of text."""
    rows = []
    for bar in bars:
        value = "-" if bar.value is None else f"{bar.value:.3g}"
        limit = f"{'<=' if bar.at_most else '>='} {bar.bar:.3g} {bar.unit}".strip()
        rows.append((bar.name, f"{value} {bar.unit}".strip(), limit, bar.verdict, bar.note))
    return "\n".join(aligned(rows, left=5))
