"""What labels lose to a weather itself: scores of its path-traced truth, beside realized pictures.

Both are of the same frames, by the fidelity gate. Fog hides lights from anyone, and a judge trained
by day reads the truth of a night worse too: only what realized pictures lose beyond is the model's.

Legend: H W pixels, C clips, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import PairError
from realmaster_live.fidelity.judge import Judge
from realmaster_live.fidelity.measure import measure
from realmaster_live.protocols import PromptedEngine
from realmaster_live.training.data import AS_SIMULATED, VALIDATION_FROM
from realmaster_live.training.evaluate.drives.summary import RESAMPLES, Value, interval
from realmaster_live.training.evaluate.pictures import Known, realize_frames
from realmaster_live.training.evaluate.weather.passes import LEAST_SCORED, TRUST
from realmaster_live.training.perception.examples import LabelledClip, labelled_clips

Scores = Mapping[str, float]
FRAMES = 1  # of a clip, its last: neighbouring ones are alike


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """What one weather costs the labels on the same frames, by score.

    Attributes:
        clips: how many frames' clips were scored.
        realized: loss of the realized pictures from `as simulated` to the prompt.
        truth: loss of the path-traced ones.
        beyond: the first less the second, or less nothing where the truth loses nothing; with the
            95 percent interval over resamples of clips.
    """

    clips: int
    realized: Scores
    truth: Scores
    beyond: Mapping[str, Value]

    def facts(self) -> dict[str, Any]:
        """Return everything for a JSON file."""
        beyond = {n: {"value": v.value, "interval": v.interval} for n, v in self.beyond.items()}
        return asdict(self) | {"beyond": beyond}


@dataclass(frozen=True, kw_only=True)
class LabelledPair:
    """The labelled frames of one drive, path-traced as simulated and under a prompt."""

    plain: LabelledClip
    prompted: LabelledClip


def read_pairs(folders: Sequence[Path]) -> dict[str, list[LabelledPair]]:
    """Return prompt -> clips that show the same frames as simulated and under the prompt.

    Only towns that models are not trained on count, and look A.

    Raises:
        PairError: there are none.
    """
    clips = [clip for clip in labelled_clips(folders) if clip.facts["seed"] >= VALIDATION_FROM]
    plain = {clip.name: clip for clip in clips if _prompt(clip) == AS_SIMULATED}
    found: dict[str, list[LabelledPair]] = {}
    for clip in clips:
        prompt = _prompt(clip)
        partner = plain.get(clip.name.removesuffix(f"-{prompt}"))
        if prompt != AS_SIMULATED and partner is not None:
            found.setdefault(prompt, []).append(LabelledPair(plain=partner, prompted=clip))
    if not found:
        raise PairError(
            f"expected labelled clips of the same drives as simulated and under a prompt, of towns "
            f"from {VALIDATION_FROM} on, in {', '.join(map(str, folders))}, got none of "
            f"{len(clips)}: run realmaster pairs render --with-labels with the same --seeds and "
            f'--drives once with --prompts "{AS_SIMULATED}" and once with each prompt alone'
        )
    return found


def _prompt(clip: LabelledClip) -> str:
    return str(clip.facts.get("prompt", AS_SIMULATED))


def measure_hidden(
    engine: PromptedEngine,
    pairs: Mapping[str, Sequence[LabelledPair]],
    prompts: Sequence[str],
    judge: Judge | None,
    report: Callable[[str], object] = lambda line: None,
) -> dict[str, Hidden]:
    """Return prompt -> what it costs the labels, in truth and realized, of the prompts in `pairs`.

    Raises:
        PairError: a clip is of another size than the engine's, or no longer whole.
    """
    as_simulated: dict[str, tuple[Scores, Scores]] = {}
    found = {}
    for prompt in [name for name in prompts if name in pairs]:
        report(f"{len(pairs[prompt])} labelled clips: {prompt}, path-traced and realized")
        rows = []
        for pair in pairs[prompt]:
            name = pair.plain.name
            if name not in as_simulated:
                as_simulated[name] = _scores(engine, pair.plain, AS_SIMULATED, judge)
            rows.append((*as_simulated[name], *_scores(engine, pair.prompted, prompt, judge)))
        found[prompt] = hidden(rows)
    return found


def hidden(rows: Sequence[tuple[Scores, Scores, Scores, Scores]], seed: int = 0) -> Hidden:
    """Return losses from scores of clips: truth and realized as simulated, then under the prompt.

    A score that fewer than LEAST_SCORED clips have is left out.
    """
    draw = np.random.default_rng(seed)
    realized, truth, beyond = {}, {}, {}
    for name in TRUST:
        values = np.array([[scores[name] for scores in row] for row in rows])  # (C, 4)
        values = values[np.isfinite(values).all(1)]
        if len(values) < LEAST_SCORED:
            continue
        chosen = draw.integers(len(values), size=(RESAMPLES, len(values)))
        chosen = np.concatenate([np.arange(len(values))[None], chosen])  # (R, C)
        means = values[chosen].mean(1)  # (R, 4)
        of_truth, of_realized = means[:, 0] - means[:, 2], means[:, 1] - means[:, 3]
        more = of_realized - np.maximum(of_truth, 0.0)
        realized[name], truth[name] = float(of_realized[0]), float(of_truth[0])
        beyond[name] = Value(value=float(more[0]), interval=interval(more[1:]))
    return Hidden(clips=len(rows), realized=realized, truth=truth, beyond=beyond)


def _scores(
    engine: PromptedEngine, clip: LabelledClip, prompt: str, judge: Judge | None
) -> tuple[Scores, Scores]:
    """Return the scores of a clip's last traced frame: of its truth, and realized."""
    sim, truth = (np.load(clip.file(f"{kind}.npy"), mmap_mode="r") for kind in ("sim", "truth"))
    wanted = (engine.spec.height, engine.spec.width)
    if sim.shape[1:3] != wanted or truth.shape[1:] != sim.shape[1:]:
        raise PairError(
            f"expected {clip.path.name} in the drive's size {wanted[1]}x{wanted[0]}, got a render "
            f"of {sim.shape[2]}x{sim.shape[1]} and a truth of {truth.shape[2]}x{truth.shape[1]}: "
            "give realmaster pairs render the drive's --size"
        )
    [(frame, place)] = clip.traced(FRAMES)
    engine.set_prompt(prompt)
    made = realize_frames(engine, sim, Known.stated(clip.facts, wanted))
    if frame >= len(made):
        raise PairError(
            f"expected frame {frame} of {clip.path.name} in a whole chunk of {engine.spec.frames} "
            f"frames, got a clip of {len(sim)}: render clips whose length is a multiple of it"
        )
    labels = _labels(clip, frame)
    return (
        _trust(sim[frame], truth[place], labels, judge),
        _trust(sim[frame], made[frame], labels, judge),
    )


def _labels(clip: LabelledClip, frame: int) -> dict[str, NDArray[Any]]:  # each (H, W)
    with np.load(clip.file("labels.npz")) as file:
        semantic, number, depth = (file[name][frame] for name in ("semantic", "instance", "depth"))
    number = number.astype(np.int32) & 0xFFFF  # labels have the class above it
    instance = np.where(number > 0, semantic.astype(np.int32) << 16 | number, 0)
    return {"semantic": semantic, "instance": instance, "depth": depth.astype(np.float32)}


def _trust(
    render: NDArray[np.uint8],  # (H, W, 3)
    picture: NDArray[np.uint8],  # (H, W, 3)
    labels: Mapping[str, NDArray[Any]],
    judge: Judge | None,
) -> Scores:
    trust = measure(np.asarray(render), np.asarray(picture), labels, judge=judge, look=False)
    return {name: float(getattr(trust, name)) for name in TRUST}
