"""Loss curves as an SVG drawing: every variant's mean over seeds, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from realmaster_live.training.perception.examples import REAL, SIM, TRUTH

WIDTH, HEIGHT, MARGIN = 640, 240, 44  # pixels
CURVE_COLOURS: Mapping[str, str] = {
    SIM: "#7a7f87",
    REAL: "#1f6fd1",
    "mixed": "#9a4fc4",
    TRUTH: "#2f9155",
}


def curves(by_variant: Mapping[str, Sequence[Sequence[float]]], steps: int) -> str:
    """Return the SVG of variant -> loss curves, one for each seed, all of the same length."""
    means = {
        name: np.log10(np.mean(losses, axis=0))
        for name, losses in by_variant.items()
        if len(losses)
    }
    values = np.concatenate(list(means.values()))
    low, high = float(values.min()), float(values.max())
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="loss over steps">']

    def down(value: float) -> float:
        share = (value - low) / max(high - low, 1e-6)
        return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * share

    for value in np.linspace(low, high, 4):
        y = down(float(value))
        parts.append(
            f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
            f'<text x="4" y="{y + 4:.1f}">{10**value:.2f}</text>'
        )
    for place, (name, logarithms) in enumerate(means.items()):
        across = np.linspace(MARGIN, WIDTH - MARGIN, len(logarithms))
        points = " ".join(
            f"{x:.1f},{down(float(y)):.1f}" for x, y in zip(across, logarithms, strict=True)
        )
        colour = CURVE_COLOURS[name]
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        )
        parts.append(f'<text x="{MARGIN + 90 * place}" y="20" fill="{colour}">{name}</text>')
    parts.append(f'<text x="{MARGIN}" y="{HEIGHT - 10}">steps, to {steps}</text></svg>')
    return "".join(parts)
