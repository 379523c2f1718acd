"""Which weather a picture shows: a small classifier, and how well it does on towns it never saw.

It is trained on path-traced pictures of minitown in known weathers (`PromptClassifier`).

Legend: T frames, N crops, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from realmaster_live.errors import PairError
from realmaster_live.training.data import AS_SIMULATED, Clip
from realmaster_live.training.evaluate.mobilenet import mobilenet
from realmaster_live.training.evaluate.pictures import crops
from realmaster_live.training.evaluate.prompted import Features, PromptClassifier

FOLDS = 5  # of towns


@dataclass(frozen=True, kw_only=True)
class WeatherJudge:
    """Names the weather of frames.

    Attributes:
        classifier: of the weathers. features: of frames, which it is trained on.
        truth: weather -> share of path-traced clips of towns that a fold left out which were named
            correctly; empty for a classifier from a file.
    """

    classifier: PromptClassifier
    features: Features
    truth: dict[str, float]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the weathers that it knows."""
        return tuple(self.classifier.names)

    def name(self, frames: NDArray[np.uint8]) -> str:  # (T, H, W, 3)
        """Return the weather that frames show."""
        return self.classifier.name(self.features(frames))


@torch.no_grad()
def features_of(frames: NDArray[np.uint8]) -> torch.Tensor:
    """Return MobileNetV2's pooled features of crops of frames, (N, D)."""
    pooled: torch.Tensor = mobilenet()(crops(frames))[1]
    return pooled


def learn(clips: Sequence[Clip], features: Features = features_of) -> WeatherJudge:
    """Train a judge on clips, and find how well it names those of other towns.

    Raises:
        PairError: there are fewer than two weathers, or fewer than two towns of one.
    """
    known = [clip for clip in clips if clip.prompt != AS_SIMULATED]
    towns = {
        name: {clip.seed for clip in known if clip.prompt == name}
        for name in {clip.prompt for clip in known}
    }
    if len(towns) < 2 or min(map(len, towns.values())) < 2:
        found = ", ".join(f"{name} in {len(seeds)}" for name, seeds in sorted(towns.items()))
        raise PairError(
            f"expected path-traced clips of two weathers or more, of two towns or more each, got "
            f"{found or 'none with a prompt'}: realmaster pairs render --prompts "
            "clear,rain,snow,fog,night,overcast makes them"
        )
    rows = {id(clip.truth): features(np.asarray(clip.truth)) for clip in known}
    hits: dict[str, list[bool]] = {name: [] for name in sorted(towns)}
    seeds = sorted({clip.seed for clip in known})
    for fold in range(min(FOLDS, len(seeds))):
        held = set(seeds[fold :: min(FOLDS, len(seeds))])
        rest = [clip for clip in known if clip.seed not in held]
        if {clip.prompt for clip in rest} != towns.keys():
            continue
        judge = _fitted(rest, rows)
        for clip in known:
            if clip.seed in held:
                hits[clip.prompt].append(judge.name(rows[id(clip.truth)]) == clip.prompt)
    return WeatherJudge(
        classifier=_fitted(known, rows),
        features=features,
        truth={name: float(np.mean(each)) for name, each in hits.items() if each},
    )


def _fitted(clips: Sequence[Clip], rows: Mapping[int, torch.Tensor]) -> PromptClassifier:
    """Return a classifier of clips whose features are known by their arrays."""
    return PromptClassifier.learn(clips, lambda frames: rows[id(frames)])


def load(path: Path) -> WeatherJudge:
    """Return the judge of a file that a classifier was saved to."""
    return WeatherJudge(classifier=PromptClassifier.load(path), features=features_of, truth={})
