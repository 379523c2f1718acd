"""Evaluates prompts: does a frame realized under "snow" look like path-traced snow?

A small classifier that was trained on path-traced training towns predicts the prompt of realized
frames of held-out towns. These frames are also compared with the truth under their prompt.

Legend: N crops, D features of a crop, K prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from realmaster_live.engines.sizes import chunk_spans
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.training.data import AS_SIMULATED, Clip
from realmaster_live.training.evaluate.metrics import psnr

MAX_CLIPS = 40  # maximum number of training clips for each prompt
WEIGHT_DECAY = 1e-3  # weight decay of the classifier
MAX_EVALUATIONS = 200  # maximum number of L-BFGS evaluations

Features = Callable[[NDArray[np.uint8]], Tensor]  # frames (T, H, W, 3) -> (N, D)
Realize = Callable[[Clip, str], NDArray[np.uint8]]  # a clip's frames under a prompt


class PromptClassifier:
    """Multinomial logistic regression on features of frames.

    Attributes:
        names: the prompts that it distinguishes.
        counts: prompt -> number of training clips.
    """

    def __init__(self, counts: dict[str, int], mean: Tensor, std: Tensor) -> None:
        """Make an untrained classifier; `mean` and `std` (D,) normalise the features."""
        self.counts, self.names = counts, list(counts)
        self._mean, self._std = mean, std
        self._layer = nn.Linear(len(mean), len(counts))
        nn.init.zeros_(self._layer.weight)
        nn.init.zeros_(self._layer.bias)

    @classmethod
    def learn(cls, clips: Sequence[Clip], features: Features) -> PromptClassifier:
        """Train on the truths of clips with prompts, with equally many clips of each prompt."""
        known = Counter(clip.prompt for clip in clips if clip.prompt != AS_SIMULATED)
        names = sorted(known)
        most = min([MAX_CLIPS, *known.values()])
        seen, labels = [], []
        for label, name in enumerate(names):
            for clip in [c for c in clips if c.prompt == name][:most]:
                rows = features(clip.truth)
                seen.append(rows)
                labels.append(torch.full((len(rows),), label))
        x, y = torch.cat(seen), torch.cat(labels)
        made = cls(dict.fromkeys(names, most), x.mean(0), x.std(0) + 1e-6)
        made._fit((x - made._mean) / made._std, y)
        return made

    @classmethod
    def load(cls, path: Path) -> PromptClassifier:
        """Return the classifier of a file that `save` wrote."""
        with np.load(path) as file:
            counts = {
                str(name): int(n) for name, n in zip(file["names"], file["counts"], strict=True)
            }
            made = cls(counts, torch.from_numpy(file["mean"]), torch.from_numpy(file["std"]))
            made._layer.weight.data = torch.from_numpy(file["weight"])
            made._layer.bias.data = torch.from_numpy(file["bias"])
        return made

    def save(self, path: Path) -> None:
        """Write the classifier to a .npz file."""
        with path.open("wb") as file:
            np.savez(
                file,
                names=np.array(self.names),
                counts=np.array(list(self.counts.values())),
                mean=self._mean.numpy(),
                std=self._std.numpy(),
                weight=self._layer.weight.detach().numpy(),
                bias=self._layer.bias.detach().numpy(),
            )

    def _fit(self, x: Tensor, y: Tensor) -> None:
        """Minimise cross entropy with weight decay, a convex problem."""
        optimizer = torch.optim.LBFGS(
            self._layer.parameters(), max_iter=MAX_EVALUATIONS, line_search_fn="strong_wolfe"
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self._layer(x), y)
            loss = loss + WEIGHT_DECAY * self._layer.weight.square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]

    @torch.no_grad()
    def name(self, features: Tensor) -> str:  # (N, D)
        """Return the most likely prompt of frames, from the mean features of their crops."""
        scores = self._layer((features - self._mean) / self._std)
        return self.names[int(scores.log_softmax(1).mean(0).argmax())]


def prompted_figures(
    realize: Realize,
    clips: Sequence[Clip],
    classifier: PromptClassifier,
    features: Features,
    spec: ChunkSpec,
) -> dict[str, Any]:
    """Return metrics against the truth for every prompt of the held-out `clips`.

    These are the PSNR (dB) of the render and of the frames realized without and with the prompt,
    and the shares of realized and of true chunks whose prompt the classifier predicts correctly.
    """
    figures: dict[str, Any] = {"classifier_clips": classifier.counts}
    for name in [known for known in classifier.names if known in {c.prompt for c in clips}]:
        scores: dict[str, list[float]] = {"render_db": [], "as_simulated_db": [], "prompted_db": []}
        named: dict[str, list[bool]] = {"recognised": [], "truth_recognised": []}
        for clip in [clip for clip in clips if clip.prompt == name]:
            made = realize(clip, name)
            truth = np.asarray(clip.truth[: len(made)])
            scores["render_db"] += psnr(np.asarray(clip.sim[: len(made)]), truth)
            scores["as_simulated_db"] += psnr(realize(clip, AS_SIMULATED), truth)
            scores["prompted_db"] += psnr(made, truth)
            for part in chunk_spans(spec, len(made)):
                named["recognised"].append(classifier.name(features(made[part])) == name)
                named["truth_recognised"].append(classifier.name(features(truth[part])) == name)
        means = {key: float(np.mean(values)) for key, values in scores.items()}
        means |= {key: float(np.mean(values)) for key, values in named.items()}
        figures[name] = {key: round(value, 3) for key, value in means.items()}
        figures[name]["chunks"] = len(named["recognised"])
    return figures
