"""`realmaster evaluate perception`: do realized pictures help those who train on them?"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.values import Flag, Names
from realmaster_live.training.perception.study import Study

Folders = Annotated[tuple[Path, ...], Flag(several=True, metavar="DIR")]


@dataclass(frozen=True, kw_only=True)
class Perception(Study):
    """Ask whether realized pictures help perception, by training small networks on them.

    The same networks with the same first weights take the same steps on the same frames as rendered
    (sim), as the engine realizes them (real), on half of each (mixed), and path-traced (truth: as
    good as it can get). Two controls show what colours alone bring: renders under strong colour
    augmentation (augmented), and with a map of colours fitted to the truth (mapped). All are tested
    on path-traced frames of other towns, and on a user's photographs. What is finished is kept in
    --out: run the command again to go on.

    Attributes:
        judge_out: Train the judge of the fidelity gate instead, and write it to this ONNX file.
    """

    train: Folders
    test: Folders
    real_set: Folders = ()
    tasks: Names = ()
    variants: Names = ()
    judge_out: Annotated[Path | None, Flag(metavar="FILE")] = None


def run(options: Perception) -> int:
    """Train what is missing, test, and print the comparisons."""
    from realmaster_live.training.perception.command import evaluate, make_judge
    from realmaster_live.training.perception.figures import as_text
    from realmaster_live.training.session import use_threads

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    use_threads(options.threads)
    if options.judge_out is not None:
        figures = make_judge(options, options.judge_out)
        sys.stdout.write(json.dumps([asdict(each) for each in figures], indent=1) + "\n")
        return 0
    comparisons = evaluate(options)
    sys.stdout.write("\n\n".join(map(as_text, comparisons)) + "\n")
    sys.stdout.write(f"\nreport: {options.out / 'report.html'}\n")
    return 0
