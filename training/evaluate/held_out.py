"""Evaluate an engine on held-out clips: render against truth, and realized against truth.

`python -m realmaster_live.training.evaluate.held_out --data DIR --out DIR [--engine NAME]`
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from realmaster_live.chunk import Chunk
from realmaster_live.engines.load import load_engine
from realmaster_live.protocols import Engine, PromptedEngine
from realmaster_live.training.data import AS_SIMULATED, HELD_OUT_FROM, Clip, find_clips
from realmaster_live.training.evaluate.metrics import (
    flicker,
    kid,
    psnr,
    sharpness,
    ssim,
)
from realmaster_live.training.evaluate.mobilenet import mobilenet
from realmaster_live.training.evaluate.prompted import prompted_figures
from realmaster_live.training.losses import feature_distance

CROP = 224  # pixels, MobileNetV2's own input size
DRIFT_CHUNKS = 60
SHEET_ROWS = 12


def as_chunk(frames: NDArray[np.uint8], index: int, fps: float) -> Chunk:
    """Return frames as a chunk of a camera that stands at the origin."""
    count = len(frames)
    return Chunk(
        index=index,
        camera="held-out",
        frames=np.ascontiguousarray(frames),
        frame_ids=np.arange(count) + index * count,
        timestamps=(np.arange(count) + index * count) / fps,
        captured_at=np.zeros(count),
        intrinsics=np.eye(3),
        cam_to_world=np.tile(np.eye(4), (count, 1, 1)),
    )


def realize_frames(engine: Engine, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a clip's whole chunks (n * T, H, W, 3) as the engine realizes them from a reset."""
    engine.reset()
    size = engine.spec.frames
    return np.concatenate(
        [
            engine.realize(as_chunk(frames[start : start + size], index, engine.spec.fps)).frames
            for index, start in enumerate(range(0, len(frames) - size + 1, size))
        ]
    )


def crops(frames: NDArray[np.uint8]) -> torch.Tensor:  # (T, H, W, 3) -> (N, CROP, CROP, 3)
    """Return side-by-side crops of the frames' middle, as many as fit."""
    _, height, width, _ = frames.shape
    top = (height - CROP) // 2
    lefts = np.linspace(0, width - CROP, max(1, width // CROP)).astype(int)
    pieces = [frames[:, top : top + CROP, left : left + CROP] for left in lefts]
    return torch.from_numpy(np.concatenate(pieces))


def drift(engine: Engine, clip: Clip, chunks: int = DRIFT_CHUNKS) -> dict[str, float]:
    """Play a clip to and fro without a reset; compare its first passage with its last.

    Returns the PSNR (dB) of both passages over the same frames, and the mean colour's shift in
    levels. Only forward passages are compared.
    """
    size = engine.spec.frames
    count = len(clip) // size
    forward = np.arange(count * size)
    order = np.concatenate((forward, forward[::-1]))
    engine.reset()
    made: dict[int, NDArray[np.uint8]] = {}
    passages = max(3, chunks // count | 1)  # odd: the last one goes forward again
    for index in range(passages * count):
        place = index % (2 * count)
        times = order[place * size : (place + 1) * size]
        result = engine.realize(as_chunk(clip.sim[times], index, engine.spec.fps)).frames
        if index < count or index >= (passages - 1) * count:
            made[index] = result
    first = np.concatenate([made[i] for i in range(count)])
    last = np.concatenate([made[(passages - 1) * count + i] for i in range(count)])
    truth = clip.truth[: count * size]
    shift = np.abs(first.mean((0, 1, 2)) - last.mean((0, 1, 2))).max()
    return {
        "chunks": passages * count,
        "first_passage_db": float(np.mean(psnr(first, truth))),
        "last_passage_db": float(np.mean(psnr(last, truth))),
        "colour_shift_levels": float(shift),
    }


def write_sheet(
    path: Path, rows: Sequence[tuple[NDArray[np.uint8], ...]], labels: Sequence[str]
) -> None:
    """Write a contact sheet: one row a picture triple, labelled above."""
    width = rows[0][0].shape[1]
    head = np.full((24, width * len(labels), 3), 255, np.uint8)
    for column, label in enumerate(labels):
        place = (column * width + 8, 17)
        cv2.putText(head, label, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    sheet = np.concatenate([head, *(np.concatenate(row, 1) for row in rows)])
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 92])


def evaluate(
    engine: Engine,
    data_dir: Path | str,
    *,
    out_dir: Path | str | None = None,
    most_clips: int | None = None,
) -> dict[str, Any]:
    """Return figures of render and realized frames against the truth of held-out clips.

    Clips with a prompt have figures of their own (`prompted`), where the folder holds training
    clips of the same prompts. With `out_dir` they are also written to evaluation.json, beside a
    contact sheet.
    """
    found = find_clips(data_dir, "held out")
    clips = [clip for clip in found if clip.prompt == AS_SIMULATED][:most_clips]
    network = mobilenet()
    names = ("render", "realized")
    scores: dict[str, dict[str, list[float]]] = {
        name: {key: [] for key in ("psnr_db", "ssim", "features", "flicker", "sharpness")}
        for name in names
    }
    pooled: dict[str, list[NDArray[np.float32]]] = {name: [] for name in (*names, "truth")}
    seams: list[float] = []
    rows, per_clip = [], {}
    for clip in clips:
        realized = realize_frames(engine, clip.sim)
        truth = np.asarray(clip.truth[: len(realized)])
        pictures = {"render": np.asarray(clip.sim[: len(realized)]), "realized": realized}
        with torch.no_grad():
            truth_taps, features = network(crops(truth))
        pooled["truth"].append(features.numpy())
        for name, frames in pictures.items():
            with torch.no_grad():
                taps, features = network(crops(frames))
            pooled[name].append(features.numpy())
            entry = scores[name]
            entry["psnr_db"] += psnr(frames, truth)
            entry["ssim"] += ssim(frames, truth)
            entry["features"].append(float(feature_distance(taps, truth_taps)))
            entry["flicker"] += flicker(frames, truth)
            entry["sharpness"].append(sharpness(frames))
        changes = flicker(realized, truth)
        size = engine.spec.frames
        at_seams = [c for i, c in enumerate(changes) if (i + 1) % size == 0]
        inside = [c for i, c in enumerate(changes) if (i + 1) % size]
        seams.append(float(np.mean(at_seams) / np.mean(inside)))
        per_clip[clip.name] = {
            name: round(float(np.mean(psnr(frames, truth))), 2) for name, frames in pictures.items()
        }
        rows.append((pictures["render"][-1], realized[-1], truth[-1]))
    result: dict[str, Any] = {
        "clips": len(clips),
        "frames": sum(len(entry) for entry in (scores["render"]["psnr_db"],)),
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
    result["seam_ratio"] = round(float(np.mean(seams)), 3)
    result["drift"] = {key: round(v, 3) for key, v in drift(engine, clips[0]).items()}
    result["psnr_db_by_clip"] = per_clip
    asked = [clip for clip in found if clip.prompt != AS_SIMULATED]
    if asked and isinstance(engine, PromptedEngine):

        def realize(clip: Clip, prompt: str) -> NDArray[np.uint8]:
            engine.set_prompt(prompt)
            return realize_frames(engine, clip.sim)

        @torch.no_grad()
        def features_of(frames: NDArray[np.uint8]) -> torch.Tensor:
            pooled_features: torch.Tensor = network(crops(frames))[1]
            return pooled_features

        training = find_clips(data_dir, "training")
        result["prompted"] = prompted_figures(
            realize, asked, training, features_of, engine.spec.frames
        )
    if out_dir is not None:
        out = Path(out_dir)
        write_sheet(out / "held_out.jpg", rows[:SHEET_ROWS], ("render", "realized", "truth"))
        (out / "evaluation.json").write_text(json.dumps(result, indent=2) + "\n")
    return result


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--engine", default="embedded", help="a name or an exported folder")
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--clips", type=int, default=None, help="at most so many")
    options = parser.parse_args(arguments)
    first = find_clips(options.data, "held out")[0]
    _, height, width, _ = first.sim.shape
    engine = load_engine(options.engine, width=width, height=height, steps=options.steps)
    with closing(engine):
        result = evaluate(engine, options.data, out_dir=options.out, most_clips=options.clips)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
