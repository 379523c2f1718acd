"""Evaluates an engine on held-out clips: render against truth, and realized against truth.

A clip's JSON file states its look (A by default; models are trained on A alone), its prompt, and
where its traffic lights are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from realmaster_live.errors import PairError
from realmaster_live.protocols import Engine, PromptedEngine
from realmaster_live.system.atomic_files import write_text
from realmaster_live.training.data import AS_SIMULATED
from realmaster_live.training.evaluate.bars import bars_of
from realmaster_live.training.evaluate.clips import TRAINED_LOOK, gather, look_of
from realmaster_live.training.evaluate.figures import (
    guide_figures,
    light_figures,
    light_rows,
    other_looks,
    pictures_of,
    plain_figures,
    realizer,
)
from realmaster_live.training.evaluate.mobilenet import mobilenet
from realmaster_live.training.evaluate.pictures import crops, write_sheet
from realmaster_live.training.evaluate.prompted import PromptClassifier, prompted_figures
from realmaster_live.training.evaluate.rollout import ROLLOUT_S, RolloutFile, drift, drift_plot

SHEET_ROWS = 12
LABELS = ("render", "realized", "truth")


def evaluate(
    engine: Engine,
    data: Path | str | Sequence[Path],
    *,
    out_dir: Path | str | None = None,
    max_clips: int | None = None,
    classifier: Path | None = None,
    rollout_s: float = ROLLOUT_S,
    engine_key: str | None = None,
) -> dict[str, Any]:
    """Return metrics of render and realized frames against the truth of held-out clips.

    Clips with a prompt have separate metrics (`prompted`), and so has each other look (`looks`) of
    drives that exist in look A. `bars` lists the targets of the embedded model.

    Args:
        engine: the engine to evaluate.
        data: a folder of pairs or packed shards, or several.
        out_dir: where to write evaluation.json and a contact sheet, if given.
        max_clips: limits the clips without a prompt.
        classifier: the file of a prompt classifier. If it does not exist, a classifier is trained
            on the folders' training clips of the same prompts and stored there.
        rollout_s: seconds over which drift is measured.
        engine_key: names the engine's files and options. With it, a rollout that is stopped goes
            on from `out_dir` in the next call.

    Raises:
        PairError: there is no held-out clip of look A without a prompt.
    """
    folders = [Path(data)] if isinstance(data, Path | str) else list(data)
    found = gather(folders, "held out")
    trained = [clip for clip in found if look_of(clip) == TRAINED_LOOK]
    clips = [clip for clip in trained if clip.prompt == AS_SIMULATED][:max_clips]
    if not clips:
        raise PairError(
            f"expected held-out clips of look {TRAINED_LOOK} without a prompt in "
            f"{', '.join(map(str, folders))}, got none of {len(found)}: make such pairs"
        )
    network, realize = mobilenet(), realizer(engine)
    result = plain_figures(clips, realize, network, engine.spec)
    longest = max(clips, key=len)
    if isinstance(engine, PromptedEngine):
        engine.set_prompt(AS_SIMULATED)
    file = None
    if out_dir is not None and engine_key is not None:
        content = hashlib.sha256(np.ascontiguousarray(longest.sim).tobytes()).hexdigest()
        key = f"{engine_key}, {longest.name} {content[:16]}, {rollout_s} s"
        file = RolloutFile(path=Path(out_dir) / "rollout.npz", key=key)
    drifted = drift(engine, longest, rollout_s, file)
    curve = drifted.pop("curve")
    # JSON has no NaN: what is not known is null
    result["drift"] = {k: None if np.isnan(v) else round(v, 3) for k, v in drifted.items()}
    result["drift"]["curve"] = {key: [round(v, 3) for v in each] for key, each in curve.items()}
    other = [
        clip for clip in found if look_of(clip) != TRAINED_LOOK and clip.prompt == AS_SIMULATED
    ]
    result["looks"] = other_looks(clips, other, realize, network)
    result["guides"] = guide_figures(clips, engine, network)
    result["lights"] = light_figures(trained if max_clips is None else clips, realize)
    prompted = [clip for clip in trained if clip.prompt != AS_SIMULATED]
    if prompted and isinstance(engine, PromptedEngine):

        @torch.no_grad()
        def features_of(frames: NDArray[np.uint8]) -> torch.Tensor:
            pooled_features: torch.Tensor = network(crops(frames))[1]
            return pooled_features

        if classifier is not None and classifier.exists():
            judge = PromptClassifier.load(classifier)
        else:
            judge = PromptClassifier.learn(gather(folders, "training"), features_of)
            if classifier is not None:
                judge.save(classifier)
        result["prompted"] = prompted_figures(realize, prompted, judge, features_of, engine.spec)
    result["bars"] = [bar.facts() for bar in bars_of(result)]
    if out_dir is not None:
        out = Path(out_dir)
        rows = [
            tuple(frames[-1] for frames in pictures_of(clip, realize(clip, AS_SIMULATED)).values())
            for clip in clips[:SHEET_ROWS]
        ]
        write_sheet(out / "held_out.jpg", rows, LABELS)
        rows = light_rows(trained, realize, SHEET_ROWS)
        if rows:
            write_sheet(out / "lights.jpg", rows, LABELS)
        write_text(out / "drift.svg", drift_plot(result["drift"]["curve"]))
        (out / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n")
    return result
