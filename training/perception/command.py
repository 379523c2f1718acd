"""Does it help perception? Train small networks on renders, realized frames and photographs.

`realmaster evaluate perception --train PAIRS --test PAIRS --out DIR [--engine NAME]`

The same networks with the same first weights take the same steps on the same moments as rendered
(sim), as the engine realizes them (real), on half of each (mixed), and path-traced (truth: as good
as it can get). All are tested on path-traced moments of other towns, and on a user's photographs.
What is finished is kept in --out: run the command again to go on.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.fidelity.judge import Judge
from realmaster_live.training.data import HELD_OUT_FROM
from realmaster_live.training.perception.examples import (
    REAL,
    SIM,
    TRUTH,
    Example,
    labelled_clips,
    read_examples,
)
from realmaster_live.training.perception.figures import Comparison, as_text, bars, compare
from realmaster_live.training.perception.judge import JudgeFigures, export_judge, judge_figures
from realmaster_live.training.perception.judge_network import JUDGE_CROP, Judging
from realmaster_live.training.perception.real_sets import read_real_set
from realmaster_live.training.perception.realized import with_realized
from realmaster_live.training.perception.report import write_report
from realmaster_live.training.perception.runs import VARIANTS, Run, Training, run_or_read, train
from realmaster_live.training.perception.tasks import MEASURES, TestSet, make_task

logger = logging.getLogger(__name__)

UNSEEN_TOWNS = "path-traced, other towns"
INPUTS = (SIM, REAL, TRUTH)


def parser() -> argparse.ArgumentParser:
    """Return the command's flags."""
    top = argparse.ArgumentParser(prog="realmaster evaluate perception", description=__doc__)
    top.add_argument(
        "--train", type=Path, nargs="+", required=True, metavar="DIR", help="pairs with labels"
    )
    top.add_argument(
        "--test", type=Path, nargs="+", required=True, metavar="DIR", help="the same of other towns"
    )
    top.add_argument(
        "--real-set",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="photographs in Cityscapes' or COCO's layout to test on as well",
    )
    top.add_argument("--out", type=Path, required=True)
    top.add_argument("--engine", default="embedded", help="a name or a folder")
    top.add_argument("--seeds", type=int, default=3, help="networks of each kind")
    top.add_argument("--steps", type=int, default=Training.steps, help="of every network")
    top.add_argument("--tasks", default=",".join(MEASURES), help="such as segmentation")
    top.add_argument("--variants", default=",".join(VARIANTS), help="such as sim,real,truth")
    top.add_argument("--per-clip", type=int, default=1, help="traced frames used of each clip")
    top.add_argument("--cache", type=Path, help="of realized frames (OUT/realized)")
    top.add_argument(
        "--judge-out",
        type=Path,
        metavar="FILE",
        help="train the fidelity gate's judge instead, and write its ONNX file",
    )
    top.add_argument("--threads", type=int, default=0, help="of the CPU; 0: all cores")
    return top


def chosen(text: str, known: Sequence[str], flag: str) -> list[str]:
    """Return the names of "a,b"; ConfigError for one that is not known."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise ConfigError(
                f"expected {flag} among {', '.join(known)}, got {name!r}: take some of them"
            )
    return names


def read_realized(options: argparse.Namespace, folders: Sequence[Path]) -> list[Example]:
    """Return the examples of folders, realized by the engine."""
    clips = labelled_clips(folders)
    cache = options.cache or options.out / "realized"
    examples = with_realized(
        clips,
        read_examples(clips, options.per_clip),
        cache,
        options.engine,
        threads=options.threads,
    )
    return [example for its in examples for example in its]


def read_tests(options: argparse.Namespace, seen: set[int]) -> list[TestSet]:
    """Return the test sets: the path-traced moments, then a user's photographs."""
    clips = labelled_clips(options.test)
    examples = [each for its in read_examples(clips, options.per_clip) for each in its]
    check_unseen(seen, examples)
    towns = TestSet(name=UNSEEN_TOWNS, examples=examples, variant=TRUTH)
    names = [folder.resolve().name for folder in options.real_set]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"expected --real-set folders of different names, got {', '.join(names)}: rename one"
        )
    return [towns, *(read_real_set(folder.resolve()) for folder in options.real_set)]


def check_unseen(seen: set[int], tests: Sequence[Example]) -> None:
    """Raise PairError where a test shows a town that is learnt from."""
    both = seen & {example.seed for example in tests}
    if both:
        raise PairError(
            f"expected test clips of towns that nothing is learnt from, got town {min(both)} in "
            "both --train and --test: render other seeds"
        )


def setting(options: argparse.Namespace, training: Training, examples: Sequence[Example]) -> str:
    """Return how the figures came about, in words."""
    towns = len({example.seed for example in examples})
    return (
        f"All variants: the same {len(examples)} moments of {towns} towns, the same first "
        f"weights, the same crops, {training.steps} steps of {training.batch} crops of "
        f"{training.width}x{training.height} pixels (scaled by 0.8 to 1.25, "
        "mirrored, brightness and contrast changed a little). "
        f"Realized by the engine {options.engine!r}, which plays each clip from its first frame. "
        f"Means over {options.seeds} seeds with 95 % intervals (Student's t)."
    )


def evaluate(options: argparse.Namespace) -> list[Comparison]:
    """Train what is missing, test, and write perception.json and report.html.

    Raises:
        PairError: clips without labels, or a town both learnt from and tested on.
        ConfigError: an unknown task or variant.
    """
    tasks = chosen(options.tasks, list(MEASURES), "--tasks")
    variants = chosen(options.variants, list(VARIANTS), "--variants")
    if options.seeds < 1 or options.per_clip < 1:
        raise ConfigError("expected --seeds and --per-clip of at least 1, got less: raise them")
    training = Training(steps=options.steps)
    examples = read_realized(options, options.train)
    towns = {example.seed for example in examples}
    if min(towns) < HELD_OUT_FROM:
        logger.warning(
            "town %d may have taught the engine, which flatters it: seeds from %d on never do",
            min(towns),
            HELD_OUT_FROM,
        )
    tests = read_tests(options, towns)
    made = {name: make_task(name, examples) for name in tasks}
    runs = options.out / "runs"
    results = [
        run_or_read(
            Run(variant=variant, task=name, seed=seed), task, examples, tests, training, runs
        )
        for seed in range(options.seeds)
        for name, task in made.items()
        for variant in variants
    ]
    comparisons = [
        compare(results, name, test.name)
        for name in tasks
        for test in tests
        if any(its["tests"][test.name]["figures"] for its in results if its["task"] == name)
    ]
    facts: dict[str, Any] = {
        "setting": setting(options, training, examples),
        "training": asdict(training),
        "train_towns": sorted(towns),
        "test_towns": sorted({example.seed for example in tests[0].examples}),
        "moments": {"train": len(examples), **{test.name: len(test.examples) for test in tests}},
        "engine": options.engine,
        "comparisons": [comparison.facts() for comparison in comparisons],
        "bars": [asdict(bar) for bar in bars(comparisons[0])] if comparisons else [],
    }
    (options.out / "perception.json").write_text(json.dumps(facts, indent=1) + "\n")
    write_report(
        options.out / "report.html",
        comparisons=comparisons,
        results=results,
        examples=examples,
        tests=tests,
        tasks=made,
        runs=runs,
        options=training,
        setting=facts["setting"],
    )
    return comparisons


def make_judge(options: argparse.Namespace) -> list[JudgeFigures]:
    """Train the judge on every variant at once, write its file, and return what it sees."""
    examples = read_realized(options, options.train)
    tests = read_realized(options, options.test)
    check_unseen({example.seed for example in examples}, tests)
    height, width = JUDGE_CROP
    training = Training(steps=options.steps, height=height, width=width)
    network, _ = train(Judging(examples), examples, training, variants=INPUTS, seed=0)
    export_judge(network, options.judge_out)
    judge = Judge(options.judge_out)
    return [judge_figures(judge, tests, variant) for variant in INPUTS]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.threads:
        torch.set_num_threads(options.threads)
    if options.judge_out is not None:
        figures = make_judge(options)
        sys.stdout.write(json.dumps([asdict(each) for each in figures], indent=1) + "\n")
        return 0
    comparisons = evaluate(options)
    sys.stdout.write("\n\n".join(map(as_text, comparisons)) + "\n")
    sys.stdout.write(f"\nreport: {options.out / 'report.html'}\n")
    return 0
