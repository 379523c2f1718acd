"""`realmaster evaluate weather`: measure prompts for weathers on recorded drives."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.values import Flag, Names, Natural, Seconds


@dataclass(frozen=True, kw_only=True)
class EvaluateWeather:
    """Measure prompts for weathers: seen or not, what they cost the labels, and a change's seams.

    A drive is realized as a live engine would do it. It begins as simulated and changes to each
    prompt in its middle, with a cross-fade. A small classifier, which is trained on path-traced
    pictures, says which weather is seen. Writes weather.json, weather.md, a sheet of pictures and
    films.

    Attributes:
        drive: Folder of a recording, with labels.
        out: Folder for the results.
        engine: What realizes it: embedded, or the folder of a model that takes prompts.
        prompts: Which ones. Without it, all that the engine and the classifier know.
        data: Folders of path-traced pairs under prompts, to train the classifier on.
        classifier: Classifier of weathers (.npz). It is written here if there is none yet.
        truth: Folders of labelled pairs of towns that were not trained on, of the same drives as
            simulated and under each prompt. What their path-traced truth loses too counts as the
            weather's own, not as a fault.
        fade: Chunks of the cross-fade.
        most_loss: How much agreement with the labels a weather may lose, beyond the truth's own.
        seconds: Only the first seconds of the drive.
        camera: Which camera. Without it, the recording's first.
        threads: Threads of the processor; 0 takes all cores.
    """

    drive: Annotated[Path, Flag(positional=True)]
    out: Annotated[Path, Flag(metavar="DIR")]
    engine: Annotated[str, Flag(metavar="NAME|DIR")] = "embedded"
    prompts: Names = ()
    data: Annotated[tuple[Path, ...], Flag(several=True)] = ()
    classifier: Annotated[Path | None, Flag(metavar="FILE")] = None
    truth: Annotated[tuple[Path, ...], Flag(several=True)] = ()
    fade: Natural = 16
    most_loss: float = 0.1
    seconds: Seconds | None = None
    camera: Annotated[str | None, Flag(metavar="NAME")] = None
    threads: Natural = 0


def run(options: EvaluateWeather) -> int:
    """Measure, write films and print the table."""
    from contextlib import closing

    from realmaster_live.engines.load import load_engine
    from realmaster_live.fidelity.dissolve import dissolving
    from realmaster_live.fidelity.judge import Judge
    from realmaster_live.fidelity.steady import steadied
    from realmaster_live.system.atomic_files import write_json, write_text
    from realmaster_live.training.evaluate import bars
    from realmaster_live.training.evaluate.drives.films import first_frames
    from realmaster_live.training.evaluate.drives.sources import RecordedDrive
    from realmaster_live.training.evaluate.weather import figures
    from realmaster_live.training.evaluate.weather.command import choose_prompts, get_judge
    from realmaster_live.training.evaluate.weather.films import Films
    from realmaster_live.training.evaluate.weather.truth import measure_hidden, read_pairs
    from realmaster_live.training.session import use_threads

    use_threads(options.threads)
    source = RecordedDrive(options.drive, options.camera)
    judge = get_judge(options.data, options.classifier)
    pairs = read_pairs(options.truth) if options.truth else {}
    width, height = source.size
    engine = load_engine(
        options.engine, width=width, height=height, fps=source.fps, threads=options.threads
    )
    with closing(engine), Films(folder=options.out / "films", fps=source.fps) as films:
        prompts = choose_prompts(options.prompts, engine, judge)
        live, labels_judge = steadied(dissolving(engine)), Judge()
        hidden = measure_hidden(live, pairs, prompts, labels_judge, print)
        found = figures.measure_weathers(
            live,
            source,
            prompts,
            judge,
            fade=options.fade,
            seconds=options.seconds,
            labels_judge=labels_judge,
            watch=films.add,
            report=print,
        )
        films.write_sheet(options.out / "weather.jpg")
    reached = figures.bars(found, hidden, options.most_loss)
    facts = {
        "drive": source.name,
        "frames": first_frames(options.seconds, source.fps, len(source)),
        "engine": options.engine,
        "fade_chunks": options.fade,
        "classifier_clips": judge.classifier.counts,
        "prompts": {name: each.facts() for name, each in found.items()},
        "beyond_the_truth": {name: each.facts() for name, each in hidden.items()},
        "bars": [bar.facts() for bar in reached],
    }
    write_json(options.out / "weather.json", facts)
    lines = figures.table(found)
    if hidden:
        lines += ["", *figures.hidden_table(hidden)]
    write_text(options.out / "weather.md", "\n".join(lines) + "\n")
    sys.stdout.write("\n".join([*lines, "", bars.table(reached)]) + f"\n\nfilms: {films.folder}\n")
    return 0
