"""`realmaster dataset collect`: the drives of a recipe, recorded one after another."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from realmaster_live.cli.values import Flag


@dataclass(frozen=True, kw_only=True)
class Collect:
    """Record the drives of a recipe, in towns, weathers and at times that it combines.

    The same command goes on where an earlier one was left.

    Attributes:
        recipe: TOML file that says what is recorded; docs/datasets.md shows one.
        out: Folder for the recordings.
        list: Print the drives and which of them are there, and record nothing.
    """

    recipe: Annotated[Path, Flag(positional=True)]
    out: Annotated[Path, Flag(metavar="DIR")]
    list: bool = False


def run(options: Collect) -> int:
    """Record what is not there yet; returns 1 where a drive failed."""
    from realmaster_live.collect.collect import collect, is_recorded
    from realmaster_live.collect.recipe import plan_drives, read_recipe
    from realmaster_live.sinks.opening import say_on_stderr

    recipe = read_recipe(options.recipe)
    drives = plan_drives(recipe, options.recipe.parent)
    if options.list:
        for drive in drives:
            state = "recorded" if is_recorded(options.out / drive.name) else "to record"
            sys.stdout.write(f"{state:10} {drive.name}\n")
        return 0
    done = collect(recipe, drives, options.out, say=say_on_stderr)
    sys.stdout.write(
        f"{len(done.recorded)} drives recorded in {options.out}, {len(done.kept)} were there, "
        f"{len(done.failed)} failed\n"
    )
    for name, why in done.failed.items():
        sys.stdout.write(f"failed: {name}: {why}\n")
    return 1 if done.failed else 0
