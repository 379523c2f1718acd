"""`realmaster pairs`: photoreal pairs from recordings, stage by stage."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

from realmaster_live.cli.values import Count, Flag, Shard
from realmaster_live.cli.workers import WorkerOptions
from realmaster_live.errors import ConfigError

Dataset = Annotated[Path, Flag(positional=True)]
Sources = Annotated[tuple[Path, ...], Flag(positional=True, metavar="SOURCE")]


@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """Options of the recipe.

    Attributes:
        recipe: TOML file with one table a stage. Without it, the recipe that the dataset keeps.
        accept_change: Go on although the recipe differs from the one that the dataset keeps.
        print_config: Print the recipe with all its defaults, and make nothing.
        dry_run: Say what would be made and what it costs, and make nothing.
    """

    recipe: Annotated[Path | None, Flag(metavar="FILE")] = None
    accept_change: bool = False
    print_config: bool = False
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class WithRecipe:
    """Work on a dataset under a recipe.

    Attributes:
        dataset: The folder of the pairs.
    """

    name: ClassVar[str]
    dataset: Dataset
    recipe: RecipeOptions = field(default_factory=RecipeOptions)


@dataclass(frozen=True, kw_only=True)
class Stage(WithRecipe):
    """Make what a stage lacks.

    Attributes:
        pilot: Begin at once, instead of making one clip first to measure what the stage costs.
    """

    pilot: bool = True
    pool: WorkerOptions = field(default_factory=WorkerOptions)


@dataclass(frozen=True, kw_only=True)
class Anchors(Stage):
    """Edit the first and the last frame of every clip."""

    name = "anchors"


@dataclass(frozen=True, kw_only=True)
class Edges(Stage):
    """Draw the edges that guide every clip."""

    name = "edges"


@dataclass(frozen=True, kw_only=True)
class Propagate(Stage):
    """Carry the edited frames through every clip."""

    name = "propagate"


@dataclass(frozen=True, kw_only=True)
class Gate(Stage):
    """Judge every clip, with reasons; nothing is deleted."""

    name = "gate"


@dataclass(frozen=True, kw_only=True)
class Encode(Stage):
    """Encode both sides of every clip to latents."""

    name = "encode"


@dataclass(frozen=True, kw_only=True)
class Split(WithRecipe):
    """Divide the clips into train, val and test, by town, route and weather."""

    name = "split"


@dataclass(frozen=True, kw_only=True)
class Pack(WithRecipe):
    """Write the shards that training reads."""

    name = "pack"


@dataclass(frozen=True, kw_only=True)
class Plan(WithRecipe):
    """List the clips of recordings.

    Attributes:
        sources: Recordings, or any footage that realmaster replay takes.
    """

    sources: Sources = ()


@dataclass(frozen=True, kw_only=True)
class Run(Stage):
    """Do everything in order, and only what is missing.

    Attributes:
        sources: Recordings, or any footage that realmaster replay takes. Without them, the clips
            that are planned already.
    """

    sources: Sources = ()


@dataclass(frozen=True, kw_only=True)
class Work:
    """Be one worker of a stage, as executors start it.

    Attributes:
        dataset: The folder of the pairs.
        stage: Name of the stage.
        shard: Which share of the clips to begin with.
        limit: Make no more clips than this.
    """

    dataset: Dataset
    stage: Annotated[str, Flag(metavar="NAME")]
    shard: Shard = (0, 1)
    limit: Count | None = None


def plan(options: Plan) -> int:
    """List clips."""
    if options.recipe.print_config:
        return _print_recipe(options)
    if not options.sources:
        raise ConfigError("expected recordings to plan, got none: name their folders or files")
    _do_plan(_chain(options, options.sources), options.sources, dry_run=options.recipe.dry_run)
    return 0


def run_stage(options: Stage) -> int:
    """Make what a stage lacks; returns 3 where clips are in quarantine."""
    from realmaster_live.cli.pair_stages import announce, do_stage
    from realmaster_live.training.pairs.preflight import preflight

    if options.recipe.print_config:
        return _print_recipe(options)
    chain, dry = _chain(options), options.recipe.dry_run
    preflight(chain, [options.name])
    announce(chain, [options.name], options.pool, dry_run=dry, pilot=options.pilot)
    if dry:
        return 0
    return do_stage(chain, options.name, options.pool, every_limit=options.name == "gate")


def run_step(options: WithRecipe) -> int:
    """Make what is made of all clips at once."""
    if options.recipe.print_config:
        return _print_recipe(options)
    _run_step(_chain(options), options.name, dry_run=options.recipe.dry_run)
    return 0


def run_all(options: Run) -> int:
    """Plan, where there are sources; then the stages that the gate and the encoding need."""
    from realmaster_live.cli.pair_stages import announce, do_stage
    from realmaster_live.training.pairs.preflight import preflight, stages_for

    if options.recipe.print_config:
        return _print_recipe(options)
    chain, dry = _chain(options, options.sources), options.recipe.dry_run
    if options.sources:
        _do_plan(chain, options.sources, dry_run=dry)
        if dry:
            return 0
    goals = ["gate", "encode", *chain.recipe.own]
    preflight(chain, stages_for(chain, goals))
    judged, names = chain.needed(["gate"]), chain.needed(goals)
    announce(chain, names, options.pool, dry_run=dry, pilot=options.pilot)
    if dry:
        return 0
    status = 0
    for name in names:
        status = max(status, do_stage(chain, name, options.pool))
        if name == judged[-1]:
            _run_step(chain, "split", dry_run=False)
    _run_step(chain, "pack", dry_run=False)
    return status


def work(options: Work) -> int:
    """Make clips of a stage until none is left."""
    from realmaster_live.jobs.worker import Worker
    from realmaster_live.system.termination import termination_raises
    from realmaster_live.training.pairs.work import open_stage

    with termination_raises(), open_stage(str(options.dataset), options.stage) as stage:
        made = Worker(stage, shard=options.shard).run(limit=options.limit)
    print(f"{options.stage}: {made} made by process {os.getpid()}")
    return 0


def _print_recipe(options: WithRecipe) -> int:
    from realmaster_live.training.pairs.recipe import load_recipe, read_recipe
    from realmaster_live.training.recipe_tables import to_toml

    path = options.recipe.recipe
    recipe = load_recipe(path) if path else read_recipe(options.dataset)
    sys.stdout.write(to_toml(recipe.resolved()))
    return 0


def _chain(options: WithRecipe, sources: Sequence[Path] = ()) -> Any:
    """Return the dataset under the recipe that was asked for; only a dry run does not keep it."""
    from realmaster_live.training.pairs.chain import Chain
    from realmaster_live.training.pairs.manifest import read_clips
    from realmaster_live.training.pairs.recipe import FILE, choose_recipe, keep_recipe

    wanted = options.recipe
    if not sources:
        read_clips(options.dataset)  # raises before a folder is made for a mistyped name
    recipe = choose_recipe(options.dataset, wanted.recipe, accept_change=wanted.accept_change)
    if not wanted.dry_run and (wanted.recipe or not (options.dataset / FILE).exists()):
        keep_recipe(options.dataset, recipe)
    return Chain(options.dataset, recipe)


def _do_plan(chain: Any, sources: Sequence[Path], *, dry_run: bool) -> None:
    from realmaster_live.training.pairs.stages import step_of

    config = chain.recipe.config("plan")
    _print_report(step_of("plan")(chain.dataset, config, sources, dry_run=dry_run))


def _run_step(chain: Any, name: str, *, dry_run: bool) -> None:
    from realmaster_live.training.pairs.stages import step_of

    if dry_run:
        print(f"{name}: would be made again from the results of earlier stages")
        return
    _print_report(step_of(name)(chain.dataset, chain.recipe.config(name)))


def _print_report(report: Any) -> None:
    for line in report.lines():
        print(line)
