"""`realmaster evaluate recording` and `realmaster evaluate clip`: measure films of drives."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from realmaster_live.cli.values import Count, Flag, Names, Natural, Rate, Seconds

if TYPE_CHECKING:
    from realmaster_live.training.evaluate.baselines.methods import Bill
    from realmaster_live.training.evaluate.drives.sources import DriveSource

MODEL = Flag(metavar="FILE")


@dataclass(frozen=True, kw_only=True)
class Films:
    """What films are measured with.

    Attributes:
        out: Folder for the report.
        film: A film that another method made of the same drive: a video, frame by frame, or a
            recording, aligned by frame number. NAME#1=, NAME#2= are one method's seeds. Repeatable.
        methods: Methods that are run on the render besides: pipeline, lucyedit, decart, editto,
            aleph, vace, cosmos, perframe. raw and histogram are always compared, and realmaster
            where it was recorded. A method that cannot run is left out with its reason.
        methods_recipe: Options of the methods in TOML, a table for each.
        kept: Folder that keeps the films of methods, so that none is made or paid twice. Without
            it, a folder of the user's data.
        yes: Pay what vendors ask for. Without it, the price is asked in a terminal, and nothing is
            spent anywhere else.
        real: Folder of real photographs, for the distance to them and the transfer of colours.
        structure_model: DINO's weights (.pth or .onnx), for the structure distance of papers.
            Without it, histograms of gradients stand in, whose distances are smaller.
        feature_model: Network for the features of KID and sKVD (.onnx), such as VGG. Without it,
            MobileNetV2 where its package is installed.
        clip_model: CLIP for CMMD: an .onnx file, or a folder of transformers'.
        judge: Segmenter for what is seen in films: an .onnx file as --judge of record takes, or
            embedded, or none.
        detector: Detector for boxes that are found, vanished and invented (.onnx).
        identity_model: ArcFace or another network that embeds faces (.onnx).
        face_model: OpenCV's YuNet (.onnx), which finds faces. Without it, whole labelled people and
            vehicles are compared.
        vlm: Address of a vision-language model, such as https://host/v1; the key is read from
            REALMASTER_VLM_KEY. Questions and answers are kept in --out.
        vlm_model: The model's name there.
        vlm_most: Most new questions of a run.
        seconds: Measure no more than the first seconds of each drive.
        seed: Of the intervals' resamples.
        gallery: Folder for a film, pictures and figures that a page of documentation shows.
    """

    out: Annotated[Path, Flag(metavar="DIR")]
    film: Annotated[tuple[str, ...], Flag(several=True, metavar="NAME=FILE")] = ()
    methods: Names = ()
    methods_recipe: Annotated[Path | None, Flag(metavar="FILE")] = None
    kept: Annotated[Path | None, Flag(metavar="DIR")] = None
    yes: bool = False
    real: Annotated[Path | None, Flag(metavar="DIR")] = None
    structure_model: Annotated[str | None, MODEL] = None
    feature_model: Annotated[str | None, MODEL] = None
    clip_model: Annotated[str | None, MODEL] = None
    judge: Annotated[str, MODEL] = "embedded"
    detector: Annotated[str | None, MODEL] = None
    identity_model: Annotated[str | None, MODEL] = None
    face_model: Annotated[str | None, MODEL] = None
    vlm: Annotated[str | None, Flag(metavar="URL")] = None
    vlm_model: Annotated[str, Flag(metavar="NAME")] = ""
    vlm_most: Count = 200
    seconds: Seconds | None = None
    seed: Natural = 0
    gallery: Annotated[Path | None, Flag(metavar="DIR")] = None


@dataclass(frozen=True, kw_only=True)
class EvaluateRecording(Films):
    """Measure recorded drives: how real, how faithful to the labels, and how steady the films are.

    The realized film is compared with the render, with a plain transfer of colours, and with films
    that other methods made of the same render. Writes evaluation.json and report.html.

    Attributes:
        drives: Folders of recordings, with realized pictures and labels.
        camera: Which camera. Without it, each recording's first.
    """

    drives: Annotated[tuple[Path, ...], Flag(positional=True, metavar="DRIVE")]
    camera: Annotated[str | None, Flag(metavar="NAME")] = None


@dataclass(frozen=True, kw_only=True)
class EvaluateClip(Films):
    """Measure films of any clip: a video, a folder of pictures or a game's recording.

    The clip is the render; --film names what methods made of it. What needs labels is measured
    where labels lie beside the pictures, and listed with its reason where they do not.

    Attributes:
        clip: The render.
        chunk: Frames of a chunk, where films were made in chunks of so many, for their seams.
        fps: Frames a second of pictures that do not tell theirs.
    """

    clip: Annotated[Path, Flag(positional=True)]
    chunk: Count | None = None
    fps: Rate | None = None


def run_recording(options: EvaluateRecording) -> int:
    """Measure recordings, write the report and print the figures."""
    from realmaster_live.training.evaluate.drives.sources import RecordedDrive

    return _run(options, [RecordedDrive(folder, options.camera) for folder in options.drives])


def run_clip(options: EvaluateClip) -> int:
    """Measure a clip, write the report and print the figures."""
    from realmaster_live.training.evaluate.drives.sources import Clip

    return _run(options, [Clip.open(options.clip, chunk=options.chunk, fps=options.fps)])


def _run(options: Films, sources: Sequence[DriveSource]) -> int:
    from realmaster_live.system.atomic_files import write_json
    from realmaster_live.training.evaluate.baselines import methods
    from realmaster_live.training.evaluate.drives.films import other_films
    from realmaster_live.training.evaluate.drives.gallery import write_gallery
    from realmaster_live.training.evaluate.drives.loading import Models, load_measures
    from realmaster_live.training.evaluate.drives.page import as_text, write_report
    from realmaster_live.training.evaluate.drives.run import evaluate_drives
    from realmaster_live.training.evaluate.drives.shown import Shown
    from realmaster_live.training.evaluate.measures.vlm import VlmClient

    films = other_films(options.film)
    methods.check_names(options.methods, films)
    tables = methods.read_tables(options.methods_recipe)
    client = None
    if options.vlm is not None:
        client = VlmClient(
            url=options.vlm,
            model=options.vlm_model,
            folder=options.out / "judged",
            most=options.vlm_most,
        )
    measures = load_measures(
        Models(
            real=options.real,
            structure_model=options.structure_model,
            feature_model=options.feature_model,
            clip_model=options.clip_model,
            judge=options.judge,
            detector=options.detector,
            identity_model=options.identity_model,
            face_model=options.face_model,
            vlm=client,
        )
    )
    shown = Shown(fps=sources[0].fps)
    options.out.mkdir(parents=True, exist_ok=True)
    made = methods.make_films(
        sources,
        options.methods,
        options.out / "films",
        tables=tables,
        kept=options.kept or methods.films_folder(),
        allow=lambda bills: _allow(bills, yes=options.yes),
        seconds=options.seconds,
        report=print,
    )
    left_out = {f"method {name}": why for name, why in made.skipped.items()}
    evaluation = evaluate_drives(
        sources,
        films=[*films, *made.films],
        measures=replace(measures, skipped={**measures.skipped, **left_out}),
        seconds=options.seconds,
        seed=options.seed,
        watch=shown.add,
    )
    facts = evaluation.facts() | {"made": {name: dict(each) for name, each in made.facts.items()}}
    write_json(options.out / "evaluation.json", facts)
    write_report(options.out / "report.html", evaluation, shown)
    if options.gallery is not None:
        write_gallery(options.gallery, evaluation, shown, title=options.gallery.name)
    sys.stdout.write(as_text(evaluation) + f"\n\nreport: {options.out / 'report.html'}\n")
    return 0


def _allow(bills: Sequence[Bill], *, yes: bool) -> bool:
    """Show what vendors are about to be paid, and return whether they may be."""
    total = sum(bill.usd for bill in bills)
    print(*bills, sep="\n")
    if yes or not sys.stdin.isatty():
        return yes
    return input(f"Pay about ${total:.2f}? [y/N] ").strip().lower() in ("y", "yes")
