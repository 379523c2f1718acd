"""`realmaster pairs VERB DATASET`: photoreal pairs from recordings, stage by stage."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from realmaster_live.cli.options import Parser, shard
from realmaster_live.cli.pair_stages import do_stage, foretell
from realmaster_live.errors import ConfigError
from realmaster_live.live.progress import console
from realmaster_live.optional import require

STAGES = {
    "anchors": "edit the first and last frame of every clip",
    "edges": "draw the edges that guide the clip",
    "propagate": "carry the edited frames through the clip",
    "gate": "judge every clip, with reasons; nothing is deleted",
    "encode": "encode both sides to latents",
}
WHOLE = {
    "split": "part the clips into train, val and test by town, route and weather",
    "pack": "write the shards that training reads",
}
RENDER = "make paired clips in the embedded town, as the game draws them and path-traced"


def parser() -> Parser:
    """Return the parser of all verbs of `pairs`."""
    top = Parser(prog="realmaster pairs", description=__doc__)
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)

    def add(
        name: str, summary: str, run: Callable[[argparse.Namespace], int]
    ) -> argparse.ArgumentParser:
        verb = verbs.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        verb.add_argument("dataset", type=Path, metavar="DATASET", help="folder of the pairs")
        verb.set_defaults(run=run)
        return verb

    plan = add("plan", "list the clips of recordings", _plan)
    plan.add_argument("sources", type=Path, nargs="*", metavar="SOURCE")
    _add_recipe(plan)
    for name, summary in STAGES.items():
        verb = add(name, summary, _stages)
        _add_recipe(verb)
        _add_work(verb)
    for name, summary in WHOLE.items():
        _add_recipe(add(name, summary, _whole))
    everything = add("run", "do all of it, in order, and only what is missing", _run)
    everything.add_argument("sources", type=Path, nargs="*", metavar="SOURCE")
    _add_recipe(everything)
    _add_work(everything)
    status = add("status", "count what is made, failed, given up and waiting", _status)
    status.add_argument("--workers", type=int, default=1, help="for the time that is left")
    status.add_argument("--json", action="store_true")
    collect = add("gc", "remove objects that nothing refers to, and what was left behind", _collect)
    collect.add_argument("--superseded", action="store_true", help="former recipes' objects too")
    collect.add_argument("--dry-run", action="store_true", help="say what would go")
    gallery = add("gallery", "write a page of accepted and rejected pairs", _gallery)
    gallery.add_argument("--out", type=Path, metavar="FOLDER", help="by default DATASET/gallery")
    gallery.add_argument("--most", type=int, metavar="N", help="clips shown, rejected ones first")
    work = add("work", "be one worker of a stage (what executors start)", _work)
    work.add_argument("--stage", required=True)
    work.add_argument("--shard", type=shard, default=(0, 1), metavar="I/N")
    work.add_argument("--limit", type=int)
    verbs.add_parser("render", help=RENDER, add_help=False)
    return top


def _add_recipe(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--recipe", type=Path, metavar="FILE", help="TOML, one table a stage")
    verb.add_argument(
        "--accept-change", action="store_true", help="go on with a recipe that differs"
    )
    verb.add_argument("--print-config", action="store_true", help="print the resolved recipe")
    verb.add_argument("--dry-run", action="store_true", help="say what would be made, and its cost")


def _add_work(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--executor", choices=("local", "slurm", "ray"), default="local")
    verb.add_argument("--workers", type=int, default=1, metavar="N")
    verb.add_argument("--retry", action="store_true", help="give clips in quarantine a chance")
    verb.add_argument(
        "--no-pilot", action="store_true", help="begin without making one clip to measure"
    )


def main(argv: Sequence[str]) -> int:
    """Run one verb; returns 0, or 3 where clips are in quarantine."""
    if argv[:1] == ["render"]:
        require("realmaster_live.minitown.truth.pairs", extra="truth").main(argv[1:])
        return 0
    options = parser().parse_args(argv)
    if getattr(options, "workers", 1) < 1:
        raise ConfigError(f"expected --workers of 1 or more, got {options.workers}: give a number")
    if not getattr(options, "print_config", False):
        status: int = options.run(options)
        return status
    from realmaster_live.training.pairs.recipe import load_recipe, read_recipe, to_toml

    recipe = load_recipe(options.recipe) if options.recipe else read_recipe(options.dataset)
    sys.stdout.write(to_toml(recipe.resolved()))
    return 0


def _chain(options: argparse.Namespace) -> Any:
    """Return the dataset under the recipe that was asked for; only a dry run does not keep it."""
    from realmaster_live.training.pairs.chain import Chain
    from realmaster_live.training.pairs.manifest import read_clips
    from realmaster_live.training.pairs.recipe import FILE, choose_recipe, keep_recipe

    if not getattr(options, "sources", None):
        read_clips(options.dataset)  # or its error, before a folder is made for a slip of the pen
    recipe = choose_recipe(options.dataset, options.recipe, accept_change=options.accept_change)
    if not options.dry_run and (options.recipe or not (options.dataset / FILE).exists()):
        keep_recipe(options.dataset, recipe)
    return Chain(options.dataset, recipe)


def _plan(options: argparse.Namespace) -> int:
    if not options.sources:
        raise ConfigError("expected recordings to plan, got none: name their folders or files")
    _do_plan(_chain(options), options)
    return 0


def _do_plan(chain: Any, options: argparse.Namespace) -> None:
    from realmaster_live.training.pairs.stages import step_of

    config = chain.recipe.config("plan")
    _tell(step_of("plan")(chain.dataset, config, options.sources, dry_run=options.dry_run))


def _whole(options: argparse.Namespace) -> int:
    _do_whole(_chain(options), options.verb, dry_run=options.dry_run)
    return 0


def _do_whole(chain: Any, name: str, *, dry_run: bool) -> None:
    from realmaster_live.training.pairs.stages import step_of

    if dry_run:
        print(f"{name}: anew, from what the stages before it have made")
        return
    _tell(step_of(name)(chain.dataset, chain.recipe.config(name)))


def _tell(report: Any) -> None:
    for line in report.lines():
        print(line)


def _stages(options: argparse.Namespace) -> int:
    chain = _chain(options)
    foretell(chain, [options.verb], options)
    return 0 if options.dry_run else do_stage(chain, options.verb, options)


def _run(options: argparse.Namespace) -> int:
    """Plan, where there are sources; then the stages that the gate and the encoding need."""
    chain = _chain(options)
    if options.sources:
        _do_plan(chain, options)
        if options.dry_run:
            return 0
    judged = chain.needed(["gate"])
    names = chain.needed(["gate", "encode", *chain.recipe.own])
    foretell(chain, names, options)
    if options.dry_run:
        return 0
    status = 0
    for name in names:
        status = max(status, do_stage(chain, name, options))
        if name == judged[-1]:
            _do_whole(chain, "split", dry_run=False)
    _do_whole(chain, "pack", dry_run=False)
    return status


def _status(options: argparse.Namespace) -> int:
    from realmaster_live.training.pairs.chain import Chain
    from realmaster_live.training.pairs.cost import estimate, worded, worded_bytes
    from realmaster_live.training.pairs.status import read_status

    chain = Chain(options.dataset)
    names = chain.needed(["gate", "encode", *chain.recipe.own])
    counts = [read_status(chain, name) for name in names]
    if options.json:
        told = [dataclasses.asdict(count) for count in counts]
        print(json.dumps({"clips": len(chain.clips), "stages": told}, indent=1))
        return 0
    rich_table = require("rich.table", extra="training")
    heads = ("stage", "done", "failed", "quarantined", "waiting", "time left", "size")
    table = rich_table.Table(*heads, box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for count in counts:
        figures = (count.done, count.failed, count.quarantined, count.waiting)
        left = worded(estimate(count, options.workers).seconds)
        table.add_row(count.stage, *map(str, figures), left, worded_bytes(count.bytes))
    console().print(table)
    for count in counts:
        for clip, error in count.errors.items():
            print(f"{count.stage} {clip}: {error}")
    return 0


def _collect(options: argparse.Namespace) -> int:
    from realmaster_live.training.pairs.chain import Chain
    from realmaster_live.training.pairs.collect import find_garbage
    from realmaster_live.training.pairs.cost import worded_bytes

    chain = Chain(options.dataset)
    _ = chain.clips  # or its error: this is no dataset
    found = find_garbage(chain, superseded=options.superseded)
    if not options.dry_run:
        found.remove()
    print(
        f"{len(found.objects)} objects, {len(found.parts)} unfinished files and "
        f"{len(found.leases)} abandoned leases {'would go' if options.dry_run else 'went'}: "
        f"{found.bytes} bytes ({worded_bytes(found.bytes)})"
    )
    return 0


def _gallery(options: argparse.Namespace) -> int:
    from realmaster_live.training.pairs.gallery import GalleryConfig, gallery

    config = GalleryConfig() if options.most is None else GalleryConfig(most=options.most)
    print(gallery(options.dataset, options.out or options.dataset / "gallery", config))
    return 0


def _work(options: argparse.Namespace) -> int:
    from realmaster_live.jobs.worker import Worker
    from realmaster_live.system.termination import termination_raises
    from realmaster_live.training.pairs.work import open_stage

    with termination_raises(), open_stage(str(options.dataset), options.stage) as work:
        made = Worker(work, shard=options.shard).run(limit=options.limit)
    print(f"{options.stage}: {made} made by process {os.getpid()}")
    return 0
