"""`realmaster evaluate embedded`: measure a model on held-out clips of the embedded town."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.values import Count, Flag, Natural, Seconds


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure an engine on held-out clips: its frames and the rendered ones against the truth.

    The JSON file of a clip names the look of the game, its prompt and the places of traffic lights.
    A clip without a look has look A, the one that models are trained on.

    Attributes:
        engine: What realizes the frames: embedded, identity, or the folder of an exported model, a
            build or a checkpoint.
        data: Folders of pairs, or shards of them.
        out: Folder for evaluation.json and contact sheets.
        steps: Denoising steps. Without it, the engine's own.
        threads: Threads of the processor; 0 takes all cores.
        clips: Use at most this many clips.
        classifier: Classifier of prompts (.npz). One is trained on the training clips and written
            here if there is none yet.
        rollout: Seconds of play without a reset over which drift is measured. A rollout that is
            stopped goes on from --out.
    """

    engine: Annotated[str, Flag(positional=True)] = "embedded"
    data: Annotated[tuple[Path, ...], Flag(several=True)]
    out: Annotated[Path, Flag(metavar="DIR")]
    steps: Count | None = None
    threads: Natural = 0
    clips: Count | None = None
    classifier: Annotated[Path | None, Flag(metavar="FILE")] = None
    rollout: Seconds = 60.0


def run(options: Evaluate) -> int:
    """Evaluate, and print the figures and what they have to reach."""
    from contextlib import closing

    from realmaster_live.engines.load import load_engine
    from realmaster_live.training.evaluate.bars import bars_of, table
    from realmaster_live.training.evaluate.clips import gather, unpacked
    from realmaster_live.training.evaluate.held_out import evaluate
    from realmaster_live.training.perception.realized import engine_key
    from realmaster_live.training.session import use_threads

    with unpacked(options.data) as folders:
        _, height, width, _ = gather(folders, "held out")[0].sim.shape
        use_threads(options.threads)
        engine = load_engine(
            options.engine,
            width=width,
            height=height,
            steps=options.steps,
            threads=options.threads,
        )
        with closing(engine):
            result = evaluate(
                engine,
                folders,
                out_dir=options.out,
                max_clips=options.clips,
                classifier=options.classifier,
                rollout_s=options.rollout,
                engine_key=f"{engine_key(options.engine)}, steps {options.steps}",
            )
    sys.stdout.write(json.dumps(result, indent=2) + "\n\n" + table(bars_of(result)) + "\n")
    return 0
