"""Evaluate an engine on held-out clips: render against truth, and realized against truth.

`python -m realmaster_live.training.evaluate.held_out --data DIR --out DIR [--engine NAME]`

Clips say in their JSON what they show: a look of the game (A where nothing is said; models are
trained on A alone), a prompt, and where traffic lights are.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from realmaster_live.engines.load import load_engine
from realmaster_live.errors import PairError
from realmaster_live.protocols import Engine, PromptedEngine
from realmaster_live.training.data import AS_SIMULATED, HELD_OUT_FROM, Clip, Split, read_clip
from realmaster_live.training.evaluate.bars import bars_of, table
from realmaster_live.training.evaluate.lights import LightCount
from realmaster_live.training.evaluate.metrics import (
    flicker,
    kid,
    psnr,
    sharpness,
    ssim,
)
from realmaster_live.training.evaluate.mobilenet import mobilenet
from realmaster_live.training.evaluate.pictures import crops, realize_frames, write_sheet
from realmaster_live.training.evaluate.prompted import prompted_figures
from realmaster_live.training.evaluate.rollout import drift
from realmaster_live.training.evaluate.warp import motion_of, warp_error
from realmaster_live.training.losses import feature_distance

SHEET_ROWS = 12
TRAINED_LOOK = "A"

Realize = Callable[[Clip, str], NDArray[np.uint8]]  # a clip's frames under a prompt
Network = Callable[[torch.Tensor], tuple[list[torch.Tensor], torch.Tensor]]


def look_of(clip: Clip) -> str:
    """Return the look of the game that a clip was rendered in."""
    return str(clip.facts.get("look", TRAINED_LOOK))


def gather(folders: Sequence[Path], split: Split) -> list[Clip]:
    """Return the clips of several folders; of two with one name and look the first counts.

    Raises PairError where there is none.
    """
    found: dict[tuple[str, str], Clip] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.json"))):
        clip = read_clip(path)
        if clip.split == split:
            found.setdefault((clip.name, look_of(clip)), clip)
    if not found:
        raise PairError(
            f"expected clips for {split} in {', '.join(map(str, folders))}, got none: make pairs "
            f"(seeds from {HELD_OUT_FROM} are held out)"
        )
    return list(found.values())


def realizer(engine: Engine) -> Realize:
    """Return a function that realizes clips, each of them and each prompt once."""
    made: dict[tuple[str, str, str], NDArray[np.uint8]] = {}

    def realize(clip: Clip, prompt: str) -> NDArray[np.uint8]:
        key = (clip.name, look_of(clip), prompt)
        if key not in made:
            if isinstance(engine, PromptedEngine):
                engine.set_prompt(prompt)
            made[key] = realize_frames(engine, clip.sim)
        return made[key]

    return realize


def pictures_of(clip: Clip, realized: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """Return a clip's render, realized frames and truth, cut to whole chunks."""
    count = len(realized)
    return {
        "render": np.asarray(clip.sim[:count]),
        "realized": realized,
        "truth": np.asarray(clip.truth[:count]),
    }


def plain_figures(
    clips: Sequence[Clip], realize: Realize, network: Network, chunk_frames: int
) -> dict[str, Any]:
    """Return the figures of clips without a prompt: pictures, changes between them, features."""
    names = ("render", "realized")
    scores: dict[str, dict[str, list[float]]] = {
        name: {key: [] for key in ("psnr_db", "ssim", "features", "flicker", "sharpness")}
        for name in names
    }
    pooled: dict[str, list[NDArray[np.float32]]] = {name: [] for name in (*names, "truth")}
    warps: dict[str, list[float]] = {name: [] for name in (*names, "truth")}
    seams: list[float] = []
    per_clip = {}
    for clip in clips:
        pictures = pictures_of(clip, realize(clip, AS_SIMULATED))
        truth = pictures["truth"]
        motion = motion_of(pictures["render"])
        for name, frames in pictures.items():
            warps[name] += warp_error(frames, motion)
        with torch.no_grad():
            truth_taps, features = network(crops(truth))
        pooled["truth"].append(features.numpy())
        for name in names:
            frames = pictures[name]
            with torch.no_grad():
                taps, features = network(crops(frames))
            pooled[name].append(features.numpy())
            entry = scores[name]
            entry["psnr_db"] += psnr(frames, truth)
            entry["ssim"] += ssim(frames, truth)
            entry["features"].append(float(feature_distance(taps, truth_taps)))
            entry["flicker"] += flicker(frames, truth)
            entry["sharpness"].append(sharpness(frames))
        changes = flicker(pictures["realized"], truth)
        at_seams = [c for i, c in enumerate(changes) if (i + 1) % chunk_frames == 0]
        inside = [c for i, c in enumerate(changes) if (i + 1) % chunk_frames]
        if at_seams:
            seams.append(float(np.mean(at_seams) / np.mean(inside)))
        per_clip[clip.name] = {
            name: round(float(np.mean(psnr(pictures[name], truth))), 2) for name in names
        }
    result: dict[str, Any] = {
        "clips": len(clips),
        "frames": len(scores["render"]["psnr_db"]),
        "seeds": sorted({clip.seed for clip in clips}),
        "held_out_from_seed": HELD_OUT_FROM,
    }
    truths = np.concatenate(pooled["truth"])
    for name in names:
        figures = {key: float(np.mean(values)) for key, values in scores[name].items()}
        figures["kid_x1000"] = 1e3 * kid(np.concatenate(pooled[name]), truths)
        result[name] = {key: round(value, 4) for key, value in figures.items()}
    result["truth_sharpness"] = round(
        float(np.mean([sharpness(np.asarray(clip.truth)) for clip in clips])), 4
    )
    result["seam_ratio"] = round(float(np.mean(seams)), 3) if seams else None
    result["warp"] = {name: float(np.mean(errors)) for name, errors in warps.items()}
    result["psnr_db_by_clip"] = per_clip
    return result


def gains_of(clips: Sequence[Clip], realize: Realize) -> dict[str, dict[str, float]]:
    """Return each clip's mean PSNR in dB, of its render and realized, by name."""
    gains = {}
    for clip in clips:
        shown = pictures_of(clip, realize(clip, AS_SIMULATED))
        gains[clip.name] = {
            name: float(np.mean(psnr(shown[name], shown["truth"])))
            for name in ("render", "realized")
        }
    return gains


def other_look(clips: Sequence[Clip], other: Sequence[Clip], realize: Realize) -> dict[str, Any]:
    """Return the gain in PSNR on drives in a look never trained on, beside the trained one's."""
    names = {clip.name for clip in clips} & {clip.name for clip in other}
    trained, strange = (
        gains_of([clip for clip in some if clip.name in names], realize) for some in (clips, other)
    )

    def mean(gains: dict[str, dict[str, float]], key: str) -> float:
        return round(float(np.mean([entry[key] for entry in gains.values()])), 4)

    return {
        "clips": len(names),
        "render_db": mean(strange, "render"),
        "realized_db": mean(strange, "realized"),
        "gain_db": round(mean(strange, "realized") - mean(strange, "render"), 4),
        "gain_a_db": round(mean(trained, "realized") - mean(trained, "render"), 4),
        "psnr_db_by_clip": {
            name: {key: round(value, 2) for key, value in entry.items()}
            for name, entry in strange.items()
        },
    }


def light_figures(clips: Sequence[Clip], realize: Realize) -> dict[str, Any]:
    """Return how well traffic lights keep their state, under each clip's own prompt."""
    count = LightCount()
    by_prompt: dict[str, LightCount] = {}
    for clip in [clip for clip in clips if "lights" in clip.facts]:
        pictures = pictures_of(clip, realize(clip, clip.prompt))
        for counter in (count, by_prompt.setdefault(clip.prompt, LightCount())):
            counter.add(pictures, clip.facts["lights"])
    shares = {prompt: counter.figures() for prompt, counter in by_prompt.items()}
    return count.figures() | {"kept_by_prompt": {p: s["kept"] for p, s in shares.items()}}


def evaluate(
    engine: Engine,
    data: Path | str | Sequence[Path],
    *,
    out_dir: Path | str | None = None,
    most_clips: int | None = None,
) -> dict[str, Any]:
    """Return figures of render and realized frames against the truth of held-out clips.

    `data` is a folder of pairs, or several. Clips with a prompt have figures of their own
    (`prompted`), where a folder holds training clips of the same prompts; so have clips of look B
    (`look_b`), where the same drives are there in look A. `bars` is the list of what an embedded
    model has to reach. With `out_dir` all is also written to evaluation.json, beside a contact
    sheet.
    """
    folders = [Path(data)] if isinstance(data, Path | str) else list(data)
    found = gather(folders, "held out")
    trained = [clip for clip in found if look_of(clip) == TRAINED_LOOK]
    clips = [clip for clip in trained if clip.prompt == AS_SIMULATED][:most_clips]
    if not clips:
        raise PairError(
            f"expected held-out clips of look {TRAINED_LOOK} without a prompt in "
            f"{', '.join(map(str, folders))}, got none of {len(found)}: make such pairs"
        )
    network, realize = mobilenet(), realizer(engine)
    result = plain_figures(clips, realize, network, engine.spec.frames)
    longest = max(clips, key=len)
    if isinstance(engine, PromptedEngine):
        engine.set_prompt(AS_SIMULATED)
    result["drift"] = {key: round(v, 3) for key, v in drift(engine, longest).items()}
    other = [
        clip for clip in found if look_of(clip) != TRAINED_LOOK and clip.prompt == AS_SIMULATED
    ]
    if {clip.name for clip in other} & {clip.name for clip in clips}:
        result["look_b"] = other_look(clips, other, realize)
    result["lights"] = light_figures(trained if most_clips is None else clips, realize)
    asked = [clip for clip in trained if clip.prompt != AS_SIMULATED]
    if asked and isinstance(engine, PromptedEngine):

        @torch.no_grad()
        def features_of(frames: NDArray[np.uint8]) -> torch.Tensor:
            pooled_features: torch.Tensor = network(crops(frames))[1]
            return pooled_features

        training = gather(folders, "training")
        result["prompted"] = prompted_figures(
            realize, asked, training, features_of, engine.spec.frames
        )
    result["bars"] = [bar.facts() for bar in bars_of(result)]
    if out_dir is not None:
        out = Path(out_dir)
        rows = [
            tuple(frames[-1] for frames in pictures_of(clip, realize(clip, AS_SIMULATED)).values())
            for clip in clips[:SHEET_ROWS]
        ]
        write_sheet(out / "held_out.jpg", rows, ("render", "realized", "truth"))
        (out / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n")
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", nargs="?", default="embedded", help="a name or a folder")
    parser.add_argument("--data", type=Path, required=True, nargs="+", help="folders of pairs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0: all cores")
    parser.add_argument("--clips", type=int, default=None, help="at most so many")
    options = parser.parse_args(arguments)
    first = gather(options.data, "held out")[0]
    _, height, width, _ = first.sim.shape
    if options.threads:
        torch.set_num_threads(options.threads)
    engine = load_engine(
        options.engine,
        width=width,
        height=height,
        steps=options.steps,
        threads=options.threads,
    )
    with closing(engine):
        result = evaluate(engine, options.data, out_dir=options.out, most_clips=options.clips)
    sys.stdout.write(json.dumps(result, indent=2) + "\n\n" + table(bars_of(result)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
