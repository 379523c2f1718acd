"""`realmaster evaluate perception`: trains and tests small networks on every variant of frames.

Networks with the same initial weights take the same steps on the same frames: as rendered (sim), as
the engine realizes them (real), on half of each (mixed), and path-traced (truth, the upper bound).
Two controls say what colours alone would bring: renders under strong augmentation of their colours
(augmented), and renders with a map of colours that is fitted to the truth (mapped).
All are tested on path-traced frames of other towns, and on a user's photographs. Finished results
are stored in --out: run the same command to resume.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.fidelity.judge import Judge
from realmaster_live.system.atomic_files import write_text
from realmaster_live.training.data import HELD_OUT_FROM
from realmaster_live.training.perception.controls import MAPPED, with_mapped
from realmaster_live.training.perception.examples import (
    REAL,
    SIM,
    TRUTH,
    Example,
    labelled,
    labelled_clips,
    read_examples,
)
from realmaster_live.training.perception.figures import Comparison, as_page, bars, compare
from realmaster_live.training.perception.judge import JudgeFigures, export_judge, judge_figures
from realmaster_live.training.perception.judge_network import JUDGE_CROP, JudgeTask
from realmaster_live.training.perception.real_sets import read_real_set
from realmaster_live.training.perception.realized import with_realized
from realmaster_live.training.perception.report import write_report
from realmaster_live.training.perception.runs import VARIANTS, Run, Training, run_or_read, train
from realmaster_live.training.perception.study import Study
from realmaster_live.training.perception.tasks import MEASURES, TestSet, make_task

logger = logging.getLogger(__name__)

UNSEEN_TOWNS = "path-traced, other towns"
INPUTS = (SIM, REAL, TRUTH)


def chosen(names: Sequence[str], known: Sequence[str], flag: str) -> Sequence[str]:
    """Return the names, by default all known ones; raise ConfigError for an unknown one."""
    for name in names:
        if name not in known:
            raise ConfigError(
                f"expected {flag} among {', '.join(known)}, got {name!r}: take some of them"
            )
    return names or known


def read_plain(study: Study, folders: Sequence[Path]) -> list[Example]:
    """Return the folders' examples, rendered and path-traced; no engine is loaded."""
    its = read_examples(labelled_clips(folders), study.per_clip)
    return [example for of_clip in its for example in of_clip]


def read_realized(study: Study, folders: Sequence[Path]) -> list[Example]:
    """Return the folders' examples with frames that the engine realized."""
    clips = labelled_clips(folders)
    cache = study.cache or study.out / "realized"
    examples = with_realized(
        clips,
        read_examples(clips, study.per_clip),
        cache,
        study.engine,
        threads=study.threads,
    )
    return [example for its in examples for example in its]


def read_tests(study: Study, seen: set[int]) -> list[TestSet]:
    """Return the test sets: the path-traced frames, then a user's photographs."""
    examples = read_plain(study, study.test)
    check_unseen(seen, examples)
    towns = TestSet(name=UNSEEN_TOWNS, examples=examples, variant=TRUTH)
    names = [folder.resolve().name for folder in study.real_set]
    if len(set(names)) < len(names):
        raise ConfigError(
            f"expected --real-set folders of different names, got {', '.join(names)}: rename one"
        )
    return [towns, *(read_real_set(folder.resolve()) for folder in study.real_set)]


def check_unseen(seen: set[int], tests: Sequence[Example]) -> None:
    """Raise PairError if a test set contains a town of the training set."""
    both = seen & {example.seed for example in tests}
    if both:
        raise PairError(
            f"expected test clips of towns that are not trained on, got town {min(both)} in "
            "both --train and --test: render other seeds"
        )


def setting(study: Study, training: Training, examples: Sequence[Example]) -> str:
    """Return a description of the study's setting."""
    towns = len({example.seed for example in examples})
    return (
        f"All variants use the same {len(examples)} frames of {towns} towns, the same initial "
        f"weights and the same crops: {training.steps} steps of {training.batch} crops of "
        f"{training.width}x{training.height} pixels (scaled by 0.8 to 1.25, mirrored, and slightly "
        "varied in brightness and contrast). "
        f"The engine {study.engine!r} realizes each clip from its first frame. "
        f"Means over {study.seeds} seeds with 95 % intervals (Student's t)."
    )


def evaluate(study: Study) -> list[Comparison]:
    """Train missing networks, test all, and write perception.json and report.html.

    Raises:
        PairError: clips have no labels, or a town is both in training and test.
        ConfigError: an unknown task or variant.
    """
    tasks = chosen(study.tasks, list(MEASURES), "--tasks")
    variants = chosen(study.variants, list(VARIANTS), "--variants")
    training = Training(steps=study.steps)
    is_realized = any(REAL in VARIANTS[variant] for variant in variants)
    examples = (read_realized if is_realized else read_plain)(study, study.train)
    if MAPPED in variants:
        examples = with_mapped(examples)
    towns = {example.seed for example in examples}
    if is_realized and min(towns) < HELD_OUT_FROM:
        logger.warning(
            "the engine may have been trained on town %d, which makes it look better than it is: "
            "use seeds from %d on",
            min(towns),
            HELD_OUT_FROM,
        )
    tests = read_tests(study, towns)
    made = {name: make_task(name, examples) for name in tasks}
    runs = study.out / "runs"
    results = [
        run_or_read(
            Run(variant=variant, task=name, seed=seed), task, examples, tests, training, runs
        )
        for seed in range(study.seeds)
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
        "setting": setting(study, training, examples),
        "training": asdict(training),
        "train_towns": sorted(towns),
        "test_towns": sorted({example.seed for example in tests[0].examples}),
        "frames": {"train": len(examples), **{test.name: len(test.examples) for test in tests}},
        "engine": study.engine,
        "labelled": {test.name: labelled(test.examples) for test in tests},
        "comparisons": [comparison.facts() for comparison in comparisons],
        "bars": [asdict(bar) for bar in bars(comparisons[0])] if comparisons else [],
    }
    write_text(study.out / "perception.json", json.dumps(facts, indent=1) + "\n")
    tables = [as_page(each, facts["labelled"][each.test]) for each in comparisons]
    write_text(
        study.out / "perception.md", "\n\n".join("\n".join(lines) for lines in tables) + "\n"
    )
    write_report(
        study.out / "report.html",
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


def make_judge(study: Study, path: Path) -> list[JudgeFigures]:
    """Train the judge on all variants at once, write it to `path`, and return its scores."""
    examples = read_realized(study, study.train)
    tests = read_realized(study, study.test)
    check_unseen({example.seed for example in examples}, tests)
    height, width = JUDGE_CROP
    training = Training(steps=study.steps, height=height, width=width)
    network, _ = train(JudgeTask(examples), examples, training, variants=INPUTS, seed=0)
    export_judge(network, path)
    judge = Judge(path)
    return [judge_figures(judge, tests, variant) for variant in INPUTS]
