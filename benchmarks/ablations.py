"""Ablations of a live model: what each of its parts brings, on a recorded drive.

`python benchmarks/ablations.py DRIVE --out DIR` realizes the render of a recording with variants
of one exported model, all of them chunk by chunk in turn, and measures their films with the figures
of `realmaster evaluate recording`. A variant is a copy of the export with another manifest or
graph, or another way to drive it; nothing is trained. With --pairs, held-out pairs are realized too
and held to their path-traced truth. It prints a table, and with --docs writes it between that
page's marks. The films stay in DIR; a film that is there is not made again.

Record DRIVE with --labels depth,semantic,instance,flow.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pages import put

from realmaster_live.engines.embedded import EMBEDDED_FOLDER
from realmaster_live.engines.load import load_engine
from realmaster_live.engines.manifest import MANIFEST, describe_files
from realmaster_live.feeds.one_frame import OneFrameEngine
from realmaster_live.fidelity.steady import SteadyEngine
from realmaster_live.frames.chunk import Chunk
from realmaster_live.live.chunker import Chunker
from realmaster_live.live.wrapper import EngineWrapper
from realmaster_live.model.sampling import sigmas
from realmaster_live.recording import Recording
from realmaster_live.recording.videos import Pictures, PictureWriter
from realmaster_live.system.atomic_files import replacing, write_json
from realmaster_live.system.host import describe_host
from realmaster_live.training.evaluate.clips import TRAINED_LOOK, gather, look_of
from realmaster_live.training.evaluate.drives.films import OtherFilm, first_frames
from realmaster_live.training.evaluate.drives.run import evaluate_drives
from realmaster_live.training.evaluate.drives.sources import RecordedDrive
from realmaster_live.training.evaluate.metrics import psnr
from realmaster_live.training.evaluate.pictures import Known, realize_frames

MARK = "ablations"  # of a page's table
STEPS = (1, 2, 4, 8)
LEAST_CHANGE = 0.25  # of the render's from frame to frame: over less, a seam ratio says nothing
SEAMS = ("seam ratio", "warp seam ratio")
FIGURES = (
    ("flicker ratio", "flicker"), ("warp ratio", "warp"), ("seam ratio", "seam"),
    ("warp seam ratio", "warp seam"), ("edge F1", "edge F1"), ("structure distance", "structure"),
    ("semantics", "semantics"), ("boxes", "boxes"), ("palette drift", "palette drift"),
)  # fmt: skip


class EachAlone(EngineWrapper):
    """Forgets everything before each chunk: no keys of the past, no memory of the autoencoder."""

    def realize(self, chunk: Chunk) -> Chunk:
        """Return the chunk realized as the first one."""
        self.engine.reset()
        return self.engine.realize(chunk)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One ablation.

    Attributes:
        name: in the table.
        change: what is changed in a copy of the export's folder.
        options: of `load_engine`.
        wrap: what is put around the engine.
    """

    name: str
    change: Callable[[Path], object] = lambda folder: None
    options: dict[str, Any] = field(default_factory=dict)
    wrap: Callable[[Any], Any] = lambda engine: engine


def edit(folder: Path, *, profile: Mapping[str, Any] | None = None, **changes: Any) -> None:
    """Change entries of a manifest, and of its profile."""
    path = folder / MANIFEST
    manifest = json.loads(path.read_text())
    manifest["profile"] |= profile or {}
    path.write_text(json.dumps(manifest | changes))


def take_steps(folder: Path, steps: int) -> None:
    """Add the noise levels of a number of steps, and take it."""
    manifest = json.loads((folder / MANIFEST).read_text())
    levels = sigmas(steps, manifest["profile"]["shift"])
    edit(folder, sigmas=manifest["sigmas"] | {str(steps): levels}, steps=steps)


def without_guide(folder: Path) -> None:
    """Let the decoder see zeros in place of the render, as in the stage that trains it plain."""
    import onnx
    from onnx import TensorProto, helper

    path = folder / "decode.onnx"
    model = onnx.load(str(path), load_external_data=False)
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == "guide":
                node.input[place] = "no_guide"
    zero = helper.make_tensor("zero_of_guide", TensorProto.FLOAT, [], [0.0])
    model.graph.initializer.append(zero)
    model.graph.node.insert(0, helper.make_node("Mul", ["guide", "zero_of_guide"], ["no_guide"]))
    path.write_bytes(model.SerializeToString())
    manifest = json.loads((folder / MANIFEST).read_text())
    edit(folder, files=manifest["files"] | describe_files(folder, ["decode.onnx"]))


def variants(manifest: dict[str, Any]) -> list[Variant]:
    """Return the ablations of an export; the first is the model as it is shipped."""
    shipped, ring = manifest["steps"], manifest["profile"]["ring"]
    chosen = [Variant(name=f"shipped: {shipped} step{'s' * (shipped > 1)}, ring {ring}, guided")]
    chosen += [
        Variant(name=f"{steps} step{'s' * (steps > 1)}", change=lambda f, n=steps: take_steps(f, n))
        for steps in STEPS
        if steps != shipped
    ]
    chosen.append(
        Variant(name="reference recomputed every pass", options={"recompute_reference": True})
    )
    chosen += [
        Variant(name=f"ring {size}", change=lambda f, n=size: edit(f, profile={"ring": n}))
        for size in (0, 1, 2, 4)
        if size != ring
    ]
    chosen += [
        Variant(name=f"ring {ring} and sink 1", change=lambda f: edit(f, profile={"sink": 1})),
        Variant(name="each chunk alone", wrap=EachAlone),
        Variant(name="one frame a chunk", wrap=OneFrameEngine),
        Variant(name="plain decoder", change=without_guide),
        Variant(name="steadied (as live)", wrap=SteadyEngine),
    ]
    return chosen


@dataclass(kw_only=True)
class Running:
    """A variant at work.

    Attributes:
        engine: of the variant. chunker: what cuts the drive for it. writer: of its film.
        spent: seconds of one thread of CPU for the frames of each chunk of the first variant.
    """

    variant: Variant
    engine: Any
    chunker: Chunker
    writer: PictureWriter
    spent: list[float] = field(default_factory=list)
    waiting: float = 0.0


def opened(variant: Variant, export: Path, folder: Path, stack: ExitStack, **options: Any) -> Any:
    """Return a variant's engine on a changed copy of an export."""
    copy = folder / variant.name.replace(" ", "-").replace(":", "")
    if not copy.exists():
        shutil.copytree(export, copy)
        variant.change(copy)
    engine = variant.wrap(load_engine(str(copy), threads=1, **options, **variant.options))
    return stack.enter_context(closing(engine))


def film_path(out: Path, variant: Variant) -> Path:
    """Return where the film of a variant is."""
    return out / "films" / f"{variant.name.replace(' ', '-').replace(':', '').replace(',', '')}.mp4"


def realize_drive(
    drive: Path, chosen: list[Variant], export: Path, out: Path, seconds: float | None
) -> dict[str, dict[str, float]]:
    """Write the films that are missing; return each variant's time of a chunk, and its ratio."""
    spent_path = out / "spent.json"
    spent = json.loads(spent_path.read_text()) if spent_path.exists() else {}
    missing = [
        each for each in chosen if each.name not in spent or not film_path(out, each).exists()
    ]
    if not missing:
        return spent
    if chosen[0] not in missing:  # the others' time is held to its own
        missing = [chosen[0], *missing]
    with TemporaryDirectory() as folder, ExitStack() as stack, Recording(drive) as recording:
        camera = recording.cameras[0]
        seen, fps = recording.meta.cameras[camera], recording.meta.spec.fps
        size = (seen.width, seen.height)
        running = []
        for variant in missing:
            engine = opened(
                variant, export, Path(folder), stack, width=size[0], height=size[1], fps=fps
            )
            part = stack.enter_context(replacing(film_path(out, variant)))
            writer = stack.enter_context(PictureWriter(part, size, fps, Pictures(crf=10)))
            running.append(
                Running(variant=variant, engine=engine, chunker=Chunker(engine.spec), writer=writer)
            )
        count = first_frames(seconds, fps, len(recording))
        for frame in islice(recording.frames(), count):
            for each in running:
                chunk = each.chunker.push(frame)
                if chunk is not None:
                    began = time.thread_time()
                    realized = each.engine.realize(chunk)
                    each.waiting += time.thread_time() - began
                    for picture in realized.frames:
                        each.writer.write(picture)
            if running[0].waiting:  # the first variant has finished a chunk
                for each in running:
                    each.spent.append(each.waiting)
                    each.waiting = 0.0
        base = running[0].spent
        for each in running:
            ratios = [own / other for own, other in zip(each.spent, base, strict=True)]
            spent[each.variant.name] = {
                "ratio": statistics.median(ratios),
                "chunk_s": statistics.median(each.spent),
            }
    write_json(spent_path, spent)
    return spent


def measured(
    source: RecordedDrive, chosen: list[Variant], out: Path, seconds: float | None
) -> dict[str, dict[str, float]]:
    """Return film -> figure -> value of all films, those of an earlier run where they are newer."""
    path, paths = out / "figures.json", [film_path(out, each) for each in chosen]
    if path.exists() and path.stat().st_mtime > max(each.stat().st_mtime for each in paths):
        kept: dict[str, dict[str, float]] = json.loads(path.read_text())
        if {each.name for each in chosen} <= kept.keys():
            return kept
    films = [OtherFilm(name=n.name, path=p) for n, p in zip(chosen, paths, strict=True)]
    found = evaluate_drives([source], films=films, seconds=seconds)
    figures = {
        name: {figure: value.value for figure, value in values.items()}
        for name, values in found.values.items()
    }
    write_json(path, figures)
    return figures


def truth_db(pairs: list[Path], chosen: list[Variant], export: Path) -> Iterator[tuple[str, float]]:
    """Yield each variant's mean PSNR to the path-traced truth of held-out clips, dB."""
    clips = [clip for clip in gather(pairs, "held out") if look_of(clip) == TRAINED_LOOK]
    plain = [clip for clip in clips if clip.prompt == "as simulated"]
    sims = [
        psnr(np.asarray(clip.sim[: len(clip) // 4 * 4]), clip.truth[: len(clip) // 4 * 4])
        for clip in plain
    ]
    yield "render", float(np.mean(np.concatenate(sims)))
    _, height, width, _ = plain[0].sim.shape
    with TemporaryDirectory() as folder:
        for variant in chosen:
            with ExitStack() as stack:
                engine = opened(variant, export, Path(folder), stack, width=width, height=height)
                found = []
                for clip in plain:
                    made = realize_frames(engine, clip.sim, Known.of(clip))
                    found += psnr(made, np.asarray(clip.truth[: len(made)]))
                yield variant.name, float(np.mean(found))


def table(rows: dict[str, dict[str, float | str]]) -> list[str]:
    """Return the lines of a table of Markdown."""
    columns = list(next(iter(rows.values())))
    lines = [f"| variant | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        cells = [v if isinstance(v, str) else f"{v:.3g}" for v in row.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Realize, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("drive", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--engine", default="embedded", help="embedded, or the folder of an export")
    parser.add_argument(
        "--pairs", type=Path, nargs="*", default=[], help="folders with held-out pairs"
    )
    parser.add_argument("--seconds", type=float, help="only the first ones of the drive")
    parser.add_argument("--docs", type=Path, help="a page with marks for the table")
    parser.add_argument("--only", nargs="*", help="variants whose names begin so, and the first")
    options = parser.parse_args()
    export = EMBEDDED_FOLDER if options.engine == "embedded" else Path(options.engine)
    manifest, host = json.loads((export / MANIFEST).read_text()), describe_host()
    every = variants(manifest)
    chosen = [
        each
        for place, each in enumerate(every)
        if not place or options.only is None or each.name.startswith(tuple(options.only))
    ]
    spent = realize_drive(options.drive, chosen, export, options.out, options.seconds)
    source = RecordedDrive(options.drive)
    count = first_frames(options.seconds, source.fps, len(source))
    figures = measured(source, chosen, options.out, options.seconds)
    to_truth = dict(truth_db(options.pairs, chosen, export)) if options.pairs else {}
    rows: dict[str, dict[str, float | str]] = {}
    chunk_s = spent[chosen[0].name]["chunk_s"]
    for name in ("render", *(each.name for each in chosen)):
        values = figures[name]
        is_still = values["flicker ratio"] < LEAST_CHANGE
        rows[name] = {
            short: "" if is_still and figure in SEAMS else values.get(figure, "")
            for figure, short in FIGURES
            if any(figure in each for each in figures.values())
        }
        if to_truth:
            rows[name]["PSNR, dB"] = f"{to_truth[name]:.2f}"
        rows[name]["time"] = f"{spent[name]['ratio']:.2f}" if name in spent else ""
    lines = [
        *table(rows),
        "",
        f"{count} frames of {source.size[0]}x{source.size[1]}; as shipped "
        f"{chunk_s / manifest['profile']['chunk_frames'] * 1e3:.0f} ms of CPU a "
        f"frame on {host['cores']} cores of {host['cpu']}.",
    ]
    write_json(options.out / "ablations.json", rows)
    print("\n".join(lines))
    if options.docs:
        put(options.docs, MARK, lines)


if __name__ == "__main__":
    main()
