"""Loss curves as an SVG drawing: every variant's mean over seeds, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from realmaster_live.system.plots import line_plot
from realmaster_live.training.perception.examples import REAL, SIM, TRUTH

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
    return line_plot(
        {name: (np.linspace(0, steps, len(mean)), mean) for name, mean in means.items()},
        title="loss",
        across="step",
        colours=CURVE_COLOURS,
        tick_text=lambda value: f"{10**value:.2f}",
    )
