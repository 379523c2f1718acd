"""Loads what films are measured with; what is missing is skipped with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from realmaster_live.errors import MissingDependency
from realmaster_live.fidelity.judge import EMBEDDED_FILE, Judge
from realmaster_live.training.evaluate.drives import realism
from realmaster_live.training.evaluate.drives.methods import Palette
from realmaster_live.training.evaluate.drives.run import Measures
from realmaster_live.training.evaluate.drives.sets import SetMeasure
from realmaster_live.training.evaluate.drives.track import PictureMeasure
from realmaster_live.training.evaluate.measures import clip_embeddings, features, patches
from realmaster_live.training.evaluate.measures.detected import DetectedMeasure, Detector
from realmaster_live.training.evaluate.measures.identity import IDENTITY, IdentityMeasure
from realmaster_live.training.evaluate.measures.judged import JudgedMeasure
from realmaster_live.training.evaluate.measures.model_files import ModelFile, OnnxModel
from realmaster_live.training.evaluate.measures.photo_lights import LightsMeasure, photo_lights
from realmaster_live.training.evaluate.measures.vlm import PHOTOGRAPH, VlmClient, VlmMeasure
from realmaster_live.training.pairs.dino import load_dino
from realmaster_live.training.pairs.identity import ArcFace, YuNet
from realmaster_live.training.pairs.structure import gradient_histograms


@dataclass(frozen=True, kw_only=True)
class Models:
    """Networks and photographs that the user brings; None for what is not there.

    Files may be given as PATH@sha256=HASH, and are refused where they are another.

    Attributes:
        real: folder of photographs. structure_model: DINO's weights.
        feature_model: ONNX file for the features of KID and sKVD, see `load_features`.
        clip_model: CLIP for CMMD, see `load_clip`.
        judge: segmenter for what is seen in films, a file or "embedded"; "none" for none.
        detector: ONNX file, see `Detector`. identity_model: ONNX file that embeds faces.
        face_model: OpenCV's YuNet, which finds them. lights: read lights by photographs' classifier
            where its package is installed.
        vlm: asks a vision-language model.
    """

    real: Path | None = None
    structure_model: str | None = None
    feature_model: str | None = None
    clip_model: str | None = None
    judge: str = "embedded"
    detector: str | None = None
    identity_model: str | None = None
    face_model: str | None = None
    lights: bool = True
    vlm: VlmClient | None = None


def load_measures(models: Models) -> Measures:
    """Return all measures that can be had with some models.

    Raises:
        ConfigError: a file or folder is not what it should be.
    """
    skipped: dict[str, str] = {}
    names: dict[str, str] = {}
    describe = gradient_histograms
    if models.structure_model is not None:
        file = ModelFile.of(models.structure_model, "--structure-model")
        describe, names["structure distance"] = load_dino(file.path), str(file)
    sets: list[SetMeasure] = []
    target = None
    if models.real is not None:
        paths = realism.photographs(models.real)
        target = Palette.of(realism.read_photographs(paths))
        sets = _realism(models, paths, names, skipped)
    if models.vlm is not None:
        sets.append(VlmMeasure(client=models.vlm))
        names[PHOTOGRAPH.name] = f"{models.vlm.model} at {models.vlm.url}"
    pictures = _seen(models, names, skipped)
    measured = {figure.name for each in sets for figure in each.figures}
    for figure in (realism.KID, realism.SKVD, realism.CMMD, PHOTOGRAPH, IDENTITY):
        if figure.name not in measured | {one.name for each in pictures for one in each.figures}:
            skipped.setdefault(figure.name, figure.needs)
    return Measures(
        describe=describe, pictures=tuple(pictures), sets=tuple(sets), target=target,
        skipped=skipped, models=names,
    )  # fmt: skip


def _seen(models: Models, names: dict[str, str], skipped: dict[str, str]) -> list[PictureMeasure]:
    """Return what networks see in single pictures."""
    found: list[PictureMeasure] = []
    if models.judge != "none":
        file = ModelFile.of(
            str(EMBEDDED_FILE) if models.judge == "embedded" else models.judge, "--judge"
        )
        names["mIoU, depth and things"] = str(file)
        found.append(JudgedMeasure(judge=Judge(file.path)))
    if models.detector is None:
        skipped["box recall"] = "no detector: give one with --detector"
    else:
        file = ModelFile.of(models.detector, "--detector")
        names["boxes"] = str(file)
        found.append(DetectedMeasure(detector=Detector(OnnxModel(file))))
    if models.identity_model is not None:
        file = ModelFile.of(models.identity_model, "--identity-model")
        names[IDENTITY.name], detect = str(file), None
        if models.face_model is not None:
            faces = ModelFile.of(models.face_model, "--face-model")
            names[IDENTITY.name] += f"; faces by {faces}"
            detect = YuNet(faces.path)
        found.append(IdentityMeasure(recognise=ArcFace(file.path), detect=detect))
    if models.lights:
        try:
            classifier = photo_lights()
        except MissingDependency as error:
            skipped["lights read right"] = str(error)
        else:
            names["lights read right"] = str(classifier)
            found.append(LightsMeasure(classifier=classifier))
    return found


def _realism(
    models: Models, paths: list[Path], names: dict[str, str], skipped: dict[str, str]
) -> list[SetMeasure]:
    """Return the distances to photographs."""
    sets: list[SetMeasure] = []
    levels, name = features.load_features(models.feature_model)
    if levels is None:
        skipped |= dict.fromkeys((realism.KID.name, realism.SKVD.name), name)
    else:
        names[realism.KID.name] = names[realism.SKVD.name] = name
        sets += [
            realism.Distance.to(
                realism.read_photographs(paths), realism.KID, features.last_of_crops(levels)
            ),
            patches.PatchDistance.to(realism.read_photographs(paths), levels, Judge()),
        ]
    if models.clip_model is not None:
        embed, names[realism.CMMD.name] = clip_embeddings.load_clip(models.clip_model)
        sets.append(
            realism.Distance.to(
                realism.read_photographs(paths), realism.CMMD, embed,
                kernel=clip_embeddings.gaussian, unbiased=False,
            )
        )  # fmt: skip
    return sets
