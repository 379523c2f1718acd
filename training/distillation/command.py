"""`realmaster distill`: a student of few steps from a recipe, packed pairs and a teacher.

RUN/checkpoint holds the best student so far that passes the gates, or else the best; the run goes
on where it was left.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from pathlib import Path

from realmaster_live.training.distillation.networks import Teacher
from realmaster_live.training.distillation.recipe import parse_recipe
from realmaster_live.training.distillation.train import distill
from realmaster_live.training.fit import STOPPED, add_run_flags, connect_signals, use_device
from realmaster_live.training.recipe import read_table, toml_of

FAILED = 4  # exit status of --strict


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    flags = argparse.ArgumentParser(prog="realmaster distill", description=__doc__)
    flags.add_argument("recipe", type=Path)
    flags.add_argument("--data", type=Path, help="packed shards, or the dataset that has them")
    flags.add_argument(
        "--teacher", metavar="CHECKPOINT|BASE+ADAPTER", help="the model of many steps"
    )
    flags.add_argument("--out", type=Path, help="the run's folder")
    flags.add_argument(
        "--start",
        metavar="CHECKPOINT|BASE+ADAPTER",
        help="what the student begins as: a student of an earlier method (default: the teacher)",
    )
    flags.add_argument(
        "--strict",
        action="store_true",
        help=f"exit with {FAILED} where what is handed on fails a gate",
    )
    add_run_flags(flags)
    return flags


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns 0, 3 for a stopped run, 4 for a failing gate."""
    flags = parser()
    options = flags.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stdout)
    logging.getLogger("realmaster_live").setLevel(logging.INFO)  # and nobody else's
    recipe = parse_recipe(read_table(options.recipe))
    if options.print_config:
        sys.stdout.write(toml_of(dataclasses.asdict(recipe)))
        return 0
    if None in (options.data, options.teacher, options.out):
        flags.error("the following arguments are required: --data, --teacher, --out")
    from realmaster_live.training.iclora.data import open_data  # which needs pyarrow

    use_device(options.device)
    verdict = distill(
        recipe,
        open_data(options.data),
        Teacher.parse(options.teacher, recipe.base),
        options.out,
        start=Teacher.parse(options.start, recipe.base) if options.start else None,
        accepted=options.accept_change,
        handle=connect_signals,
    )
    if verdict is None:
        return STOPPED
    sys.stdout.write(f"{options.out / 'checkpoint'}: {verdict.line()}\n")
    return FAILED if verdict.failed and options.strict else 0


if __name__ == "__main__":
    sys.exit(main())
