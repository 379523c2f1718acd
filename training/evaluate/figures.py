"""Metrics of held-out clips: without a prompt, in another look, and of traffic lights.

Legend: T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from realmaster_live.engines.sizes import chunk_spans
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.model.profile import Profile
from realmaster_live.protocols import Engine, PromptedEngine
from realmaster_live.training.data import AS_SIMULATED, HELD_OUT_FROM, Clip
from realmaster_live.training.evaluate.clips import look_of
from realmaster_live.training.evaluate.lights import LightCount, close_up, is_readable
from realmaster_live.training.evaluate.metrics import (
    flicker,
    kid,
    psnr,
    sharpness,
    ssim,
)
from realmaster_live.training.evaluate.pictures import Known, crops, realize_frames
from realmaster_live.training.evaluate.warp import motion_of, warp_error
from realmaster_live.training.losses import feature_distance

LABELS = {"depth": "depth", "classes": "semantic"}  # of those that guide a decoder
Realize = Callable[[Clip, str], NDArray[np.uint8]]  # a clip's frames under a prompt
Network = Callable[[torch.Tensor], tuple[list[torch.Tensor], torch.Tensor]]


def realizer(engine: Engine) -> Realize:
    """Return a cached function that realizes a clip under a prompt."""
    frames_by_key: dict[tuple[str, str, str], NDArray[np.uint8]] = {}

    def realize(clip: Clip, prompt: str) -> NDArray[np.uint8]:
        key = (clip.name, look_of(clip), prompt)
        if key not in frames_by_key:
            if isinstance(engine, PromptedEngine):
                engine.set_prompt(prompt)
            frames_by_key[key] = realize_frames(engine, clip.sim, Known.of(clip))
        return frames_by_key[key]

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
    clips: Sequence[Clip], realize: Realize, network: Network, spec: ChunkSpec
) -> dict[str, Any]:
    """Return the metrics of clips without a prompt: pictures, changes between them, features."""
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
        begins = {span.start for span in chunk_spans(spec, len(truth))}
        at_seams = [c for i, c in enumerate(changes) if i + 1 in begins]
        inside = [c for i, c in enumerate(changes) if i + 1 not in begins]
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


def other_looks(
    clips: Sequence[Clip], others: Sequence[Clip], realize: Realize, network: Network
) -> dict[str, dict[str, Any]]:
    """Return the figures of every look but the trained one, of the drives that exist in both.

    `gain_db` is the PSNR that the engine adds in that look, `gain_a_db` what it adds to the same
    drives in the trained one; `render_features` is the render's feature distance to the truth.
    """
    by_name = {clip.name: clip for clip in clips}
    looks: dict[str, list[Clip]] = {}
    for clip in others:
        if clip.name in by_name:
            looks.setdefault(look_of(clip), []).append(clip)
    if not looks:
        return {}
    trained = {
        name: _picture_figures(by_name[name], realize, network)
        for name in {clip.name for alike in looks.values() for clip in alike}
    }
    return {look: _look_figures(alike, trained, realize, network) for look, alike in looks.items()}


def _look_figures(
    clips: Sequence[Clip],
    trained: Mapping[str, Mapping[str, float]],
    realize: Realize,
    network: Network,
) -> dict[str, Any]:
    found = {clip.name: _picture_figures(clip, realize, network) for clip in clips}

    def mean(figures: Mapping[str, Mapping[str, float]], key: str) -> float:
        return float(np.mean([figures[name][key] for name in found]))

    gain, trained_gain = (
        mean(figures, "realized_db") - mean(figures, "render_db") for figures in (found, trained)
    )
    return {
        "clips": len(found),
        "render_db": round(mean(found, "render_db"), 4),
        "realized_db": round(mean(found, "realized_db"), 4),
        "render_features": round(mean(found, "render_features"), 4),
        "gain_db": round(gain, 4),
        "gain_a_db": round(trained_gain, 4),
        "psnr_db_by_clip": {
            name: {key: round(entry[f"{key}_db"], 2) for key in ("render", "realized")}
            for name, entry in found.items()
        },
    }


def _picture_figures(clip: Clip, realize: Realize, network: Network) -> dict[str, float]:
    """Return one clip's mean PSNR in dB, and the feature distance of its render."""
    pictures = pictures_of(clip, realize(clip, AS_SIMULATED))
    with torch.no_grad():
        taps = [network(crops(pictures[name]))[0] for name in ("render", "truth")]
    return {
        "render_db": float(np.mean(psnr(pictures["render"], pictures["truth"]))),
        "realized_db": float(np.mean(psnr(pictures["realized"], pictures["truth"]))),
        "render_features": float(feature_distance(*taps)),
    }


def guides_taken(engine: Engine) -> tuple[str, ...]:
    """Return what guides an engine's model beside the frames: of light, depth and classes."""
    profile: Profile | None = getattr(engine, "profile", None)
    if profile is None:
        return ()
    return (*(("light",) if profile.light else ()), *(LABELS if profile.geometry else ()))


def guide_figures(
    clips: Sequence[Clip], engine: Engine, network: Network
) -> dict[str, dict[str, float]]:
    """Return what a simulator's knowledge brings to an engine that is guided by it.

    PSNR in dB and feature distance, without a prompt, if the engine is told nothing, each of what
    it takes, or all of it; of the clips that have all of it.
    """
    taken = guides_taken(engine)
    whole = [
        clip
        for clip in clips
        if (clip.labels is not None or "depth" not in taken)
        and ("light" not in taken or clip.has_sun)
    ]
    if not taken or not whole:
        return {}
    if isinstance(engine, PromptedEngine):
        engine.set_prompt(AS_SIMULATED)
    told: dict[str, tuple[str, ...]] = {"nothing": (), **{name: (name,) for name in taken}}
    found = {}
    for name, names in (told | ({"all": taken} if len(taken) > 1 else {})).items():
        labels = [LABELS[each] for each in names if each in LABELS]
        decibels, distances = [], []
        for clip in whole:
            known = Known.of(clip, labels, light="light" in names)
            made = realize_frames(engine, clip.sim, known)
            truth = np.asarray(clip.truth[: len(made)])
            with torch.no_grad():
                taps = [network(crops(frames))[0] for frames in (made, truth)]
            decibels += psnr(made, truth)
            distances.append(float(feature_distance(*taps)))
        found[name] = {
            "psnr_db": round(float(np.mean(decibels)), 4),
            "features": round(float(np.mean(distances)), 4),
        }
    return found


def light_figures(clips: Sequence[Clip], realize: Realize) -> dict[str, Any]:
    """Return how often traffic lights keep their state, under each clip's own prompt."""
    count = LightCount()
    by_prompt: dict[str, LightCount] = {}
    for clip in [clip for clip in clips if "lights" in clip.facts]:
        pictures = pictures_of(clip, realize(clip, clip.prompt))
        for counter in (count, by_prompt.setdefault(clip.prompt, LightCount())):
            counter.add(pictures, clip.facts["lights"])
    shares = {prompt: counter.figures() for prompt, counter in by_prompt.items()}
    return count.figures() | {"kept_by_prompt": {p: s["kept"] for p, s in shares.items()}}


def light_rows(
    clips: Sequence[Clip], realize: Realize, max_rows: int
) -> list[tuple[NDArray[np.uint8], ...]]:
    """Return close-ups of each clip's first readable light, for a contact sheet."""
    rows: list[tuple[NDArray[np.uint8], ...]] = []
    for clip in clips:
        found = next(filter(is_readable, clip.facts.get("lights", [[]])[0]), None)
        if found is not None and len(rows) < max_rows:
            pictures = pictures_of(clip, realize(clip, clip.prompt))
            rows.append(tuple(close_up(frames[0], found) for frames in pictures.values()))
    return rows
