"""The stage that judges a photoreal clip by its source: figures, limits, and reasons.

Nothing is deleted: a clip that fails stays in the store with its verdict, and `pack` leaves it out.

Legend: T frames, H height, W width.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.system.contents import sha256_of
from realmaster_live.training.pairs import sources, videos
from realmaster_live.training.pairs.alignment import clip_shift, edge_agreement
from realmaster_live.training.pairs.identity import ArcFace, Detector, Recogniser, YuNet, compare
from realmaster_live.training.pairs.palette import palette_drift
from realmaster_live.training.pairs.people import people_in, person_likeness
from realmaster_live.training.pairs.quality import black_share, frozen_share, sharpness_ratio
from realmaster_live.training.pairs.rules import RULES, Limit, check_limits, judge
from realmaster_live.training.pairs.stage import Job, Stage, StageSpec, Value
from realmaster_live.training.pairs.structure import (
    Descriptor,
    gradient_histograms,
    structure_distance,
)
from realmaster_live.training.pairs.warp import warp_ratio

Frames = NDArray[np.uint8]  # (T, H, W, 3) RGB
MODELS = ("structure_model", "face_model", "identity_model")


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """Table [gate]; a limit of false switches its rule off.

    The limits let pass what a path tracer made of the embedded town, in all its weathers, and stop
    the same clips shifted by 3 pixels, blurred by 2, frozen halfway, swapped with another, or 8 %
    brighter in every other frame. No published work names limits; `calibrate` shows what these do
    to your clips.

    Attributes:
        max_black: share of frames that are black.
        max_frozen: share of frames that repeat the one before while the source moves.
        min_sharpness: relative variance of the Laplacian, over the source's.
        max_shift_px: global shift of the clip against its source.
        min_edge_f1: agreement of Canny edges, mean over the frames.
        min_worst_edge_f1: the same of the worst frame.
        max_warp_ratio: flow-warp error over the source's own.
        max_palette_drift: standard deviation over time of the palette against the source's, L*a*b*.
        max_gradient_structure: structure distance by gradient histograms, which stand in for DINO.
        max_dino_structure: the same by DINO's keys, where structure_model is given.
        min_person_likeness: correlation of gradients where the source's labels have people, mean
            over the frames; clips without semantic labels are not judged by it.
        min_face_similarity: mean cosine of ArcFace, where face_model and identity_model are given.
        max_missed_faces: share of the source's faces without one in their place.
        least_face_px: smaller faces in the source do not count, nor do those that labels do not
            show as people. least_person_px: frames with fewer pixels of people do not count.
        samples: frames at which structure and faces are looked at.
        structure_model: weights of a DINO ViT (.pth of torch.hub, or .onnx that gives the keys).
        face_model: YuNet as ONNX. identity_model: ArcFace as ONNX.
    """

    max_black: Limit = 0.0
    max_frozen: Limit = 0.05
    min_sharpness: Limit = 0.1
    max_shift_px: Limit = 2.0
    min_edge_f1: Limit = 0.5
    min_worst_edge_f1: Limit = 0.45
    max_warp_ratio: Limit = 2.5
    max_palette_drift: Limit = 1.0
    max_gradient_structure: Limit = 0.045
    max_dino_structure: Limit = False
    min_person_likeness: Limit = 0.3
    min_face_similarity: Limit = 0.4
    max_missed_faces: Limit = 0.5
    least_face_px: float = 32.0
    least_person_px: int = 200
    samples: int = 5
    structure_model: str = ""
    face_model: str = ""
    identity_model: str = ""

    def __post_init__(self) -> None:
        check_limits(self.limits)
        if self.samples < 1:
            raise ConfigError(f"expected samples of 1 or more in [gate], got {self.samples}")
        if bool(self.face_model) != bool(self.identity_model):
            raise ConfigError(
                "expected face_model and identity_model together in [gate], got "
                f"{self.face_model or self.identity_model} alone: give both, or neither"
            )

    @property
    def limits(self) -> dict[str, Limit]:
        """Return the key of every rule and its limit."""
        return {rule.key: getattr(self, rule.key) for rule in RULES}


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What figures need beyond the pictures; None where the user brings no model.

    Attributes:
        dino: of the structure distance. detect, recognise: of the faces.
    """

    dino: Descriptor | None = None
    detect: Detector | None = None
    recognise: Recogniser | None = None


def load_networks(config: GateConfig) -> Networks:
    """Return the networks that a config names."""
    dino = None
    if config.structure_model:
        from realmaster_live.training.pairs.dino import load_dino

        dino = load_dino(Path(config.structure_model))
    if not config.face_model:
        return Networks(dino=dino)
    detect, recognise = YuNet(Path(config.face_model)), ArcFace(Path(config.identity_model))
    return Networks(dino=dino, detect=detect, recognise=recognise)


def measure(
    source: Frames,
    made: Frames,
    config: GateConfig,
    networks: Networks,
    people: NDArray[np.bool_] | None = None,  # (T, H, W)
) -> dict[str, float]:
    """Return every figure of a made clip that there are networks, and labels of people, for."""
    agreement = edge_agreement(source, made)
    error, ratio = warp_ratio(source, made)
    picked = np.unique(np.linspace(0, len(source) - 1, config.samples).round().astype(int))
    some, some_made = source[picked], made[picked]
    figures = {
        "black": black_share(made),
        "frozen": frozen_share(source, made),
        "sharpness": sharpness_ratio(source, made),
        "shift_px": clip_shift(some, some_made),
        "edge_f1": float(np.mean(agreement)),
        "worst_edge_f1": min(agreement),
        "warp_error": error,
        "warp_ratio": ratio,
        "palette_drift": palette_drift(source, made),
    }
    if networks.dino is None:
        distance = structure_distance(some, some_made, gradient_histograms)
        figures["gradient_structure"] = distance
    else:
        figures["dino_structure"] = structure_distance(some, some_made, networks.dino)
    where = None if people is None else people[picked]
    if where is not None:
        likeness = person_likeness(some, some_made, where, least_px=config.least_person_px)
        if likeness is not None:
            figures["person_likeness"] = likeness
    if networks.detect is not None and networks.recognise is not None:
        found = compare(
            some,
            some_made,
            networks.detect,
            networks.recognise,
            least_px=config.least_face_px,
            people=where,
        )
        figures["faces"] = float(found.faces)
        if found.faces:
            figures["missed_faces"] = found.missed / found.faces
            figures["face_similarity"] = found.similarity
    return {name: round(value, 5) for name, value in figures.items()}


class GateStage:
    """Writes the verdict on a clip as JSON."""

    def __init__(self, config: GateConfig) -> None:
        self.config = config

    @cached_property
    def spec(self) -> StageSpec:
        """Return what decides the keys: a model counts by its bytes, not by its path."""
        parameters = asdict(self.config) | {k: _sha256(getattr(self.config, k), k) for k in MODELS}
        return StageSpec(
            name="gate", version=1, suffix=".json", after=("propagate",), parameters=parameters
        )

    @cached_property
    def networks(self) -> Networks:
        """Return the networks, loaded once."""
        return load_networks(self.config)

    def run(self, job: Job, target: Path) -> Mapping[str, Value]:
        """Judge a clip."""
        source = sources.read_frames(job.clip)
        made = videos.read_video(job.inputs["propagate"])
        if made.shape != source.shape:
            raise PairError(
                f"expected a photoreal clip (T, H, W, 3) of {source.shape}, got {made.shape} in "
                f"{job.inputs['propagate']}: run the stage propagate again"
            )
        people = None
        if "semantic" in job.clip.labels:
            people = people_in(sources.read_label(job.clip, "semantic"))
        metrics = measure(source, made, self.config, self.networks, people)
        verdict = judge(metrics, self.config.limits)
        target.write_text(json.dumps(asdict(verdict), indent=1) + "\n", encoding="utf-8")
        return {"passed": verdict.passed, "weight": verdict.weight, "failed": list(verdict.failed)}


def _sha256(path: str, key: str) -> str:
    if path and not Path(path).exists():
        raise ConfigError(
            f"expected a model at {path}, got no such file: correct {key} in [gate], or leave it "
            "out"
        )
    return sha256_of(Path(path), error=ConfigError) if path else ""


def make(config: GateConfig, dataset: Path) -> Stage:
    """Return the stage."""
    del dataset  # all it reads is the source and the photoreal clip
    return GateStage(config)
