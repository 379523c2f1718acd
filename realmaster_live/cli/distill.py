"""`realmaster distill`: a student of few steps from a recipe, packed pairs and a teacher."""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.training_run import TrainingRun, print_cost, print_estimate
from realmaster_live.cli.values import Flag
from realmaster_live.errors import ConfigError

FAILED = 4  # exit status of --strict


@dataclass(frozen=True, kw_only=True)
class Distill:
    """Make a student of few denoising steps from a model of many.

    The folder checkpoint in --out holds the best student so far that passes the gates, or else the
    best. The same command goes on where a run was left.

    Attributes:
        recipe: The TOML file of the recipe.
        data: Packed shards, or the dataset that has them.
        teacher: The model of many steps, as CHECKPOINT or BASE+ADAPTER.
        out: Folder of the run.
        start: What the student begins as, as CHECKPOINT or BASE+ADAPTER, such as a student of an
            earlier method. Without it, the teacher.
        strict: Exit with 4 where the student that is handed on fails a gate.
    """

    recipe: Annotated[Path, Flag(positional=True)]
    data: Annotated[Path | None, Flag(metavar="DIR")] = None
    teacher: Annotated[str | None, Flag(metavar="MODEL")] = None
    out: Annotated[Path | None, Flag(metavar="DIR")] = None
    start: Annotated[str | None, Flag(metavar="MODEL")] = None
    strict: bool = False
    run: TrainingRun = field(default_factory=TrainingRun)


def run(options: Distill) -> int:
    """Distill; returns 0, 3 for a stopped run, 4 for a failing gate."""
    from realmaster_live.training.distillation.networks import Teacher
    from realmaster_live.training.distillation.recipe import parse_recipe
    from realmaster_live.training.distillation.train import distill
    from realmaster_live.training.estimate.distill import estimate_distillation
    from realmaster_live.training.estimate.shapes import largest_size
    from realmaster_live.training.iclora.base import profile_of
    from realmaster_live.training.recipe_tables import read_table, to_toml
    from realmaster_live.training.session import (
        STOPPED,
        log_to_stdout,
        signalled,
        use_device,
    )

    log_to_stdout()
    recipe = parse_recipe(read_table(options.recipe))
    if options.run.print_config:
        sys.stdout.write(to_toml(dataclasses.asdict(recipe)))
        return 0
    teacher = Teacher.parse(options.teacher, recipe.base) if options.teacher else None
    base = dataclasses.replace(recipe.base, checkpoint=str(teacher.base) if teacher else "")
    if options.run.estimate:
        figures = estimate_distillation(recipe, profile_of(base), options.run.size)
        return print_estimate(figures)
    if options.data is None or teacher is None or options.out is None:
        raise ConfigError(
            "expected --data, --teacher and --out, got none of one: see realmaster distill --help"
        )
    from realmaster_live.training.iclora.data import open_data  # which needs pyarrow

    use_device(options.run.device)
    data = open_data(options.data)
    if options.run.device != "cpu":
        profile = profile_of(base)
        size = largest_size(profile, data.training.shapes)
        print_cost(estimate_distillation(recipe, profile, size))
    verdict = distill(
        recipe,
        data,
        teacher,
        options.out,
        start=Teacher.parse(options.start, recipe.base) if options.start else None,
        accepted=options.run.accept_change,
        stop=signalled(),
    )
    if verdict is None:
        return STOPPED
    sys.stdout.write(f"{options.out / 'checkpoint'}: {verdict.line()}\n")
    return FAILED if verdict.failed and options.strict else 0
