"""The embedded model's targets (bars) on held-out clips, and whether it meets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


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


def bars_of(result: Mapping[str, Any]) -> list[Bar]:
    """Return all bars, from the metrics of `evaluate`."""
    render, realized = result["render"], result["realized"]
    gain = realized["psnr_db"] - render["psnr_db"]
    warp, rollout, lights = result["warp"], result["drift"], result["lights"]
    other, prompted = result.get("look_b"), result.get("prompted", {})
    bars = [
        Bar(
            name="feature distance relative to the render's",
            value=realized["features"] / render["features"],
            bar=0.5,
            at_most=True,
            note=f"{realized['features']:.3f} of {render['features']:.3f}",
        ),
        Bar(
            name="PSNR over the render",
            value=gain,
            bar=8.0,
            unit="dB",
            note=f"{render['psnr_db']:.2f} -> {realized['psnr_db']:.2f}",
        ),
        Bar(
            name="gain in look B relative to look A",
            value=other["gain_db"] / other["gain_a_db"] if other else None,
            bar=2 / 3,
            note=(
                f"{other['gain_db']:+.2f} against {other['gain_a_db']:+.2f} dB on the same "
                f"{other['clips']} clips; {other['render_db']:.2f} -> {other['realized_db']:.2f}"
                if other
                else "no clips of look B"
            ),
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
            for prompt in ("rain", "snow")
        ),
        Bar(
            name="traffic lights kept",
            value=None if lights["kept"] is None else 100.0 * lights["kept"],
            bar=95.0,
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
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    )
