"""The command line: `realmaster VERB`, one module a verb."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import NamedTuple

from realmaster_live.cli import (
    attach,
    bench,
    build,
    demo,
    doctor,
    gta_relay,
    gta_replay,
    prompts,
    replay,
    truth,
)
from realmaster_live.cli.config import flags_from
from realmaster_live.cli.options import Parser
from realmaster_live.errors import ConfigError, RealMasterError
from realmaster_live.optional import require

USAGE, FAULT, INTERRUPTED = 2, 1, 130


class Verb(NamedTuple):
    """What a verb is for, its flags, and what it does; returns the exit status."""

    summary: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


VERBS = {
    "demo": Verb(
        "drive through the embedded town and leave a film and a report", demo.add, demo.run
    ),
    "attach": Verb("realize a running CARLA world", attach.add, attach.run),
    "record": Verb("attach, and keep everything in a folder", attach.add_record, attach.run),
    "replay": Verb("realize a recording again", replay.add, replay.run),
    "gta-relay": Verb(
        "capture GTA-V on its machine, serve it, and show what is realized",
        gta_relay.add,
        gta_relay.run,
    ),
    "gta-replay": Verb(
        "serve a recording or the embedded town in GTA-V's place", gta_replay.add, gta_replay.run
    ),
    "truth": Verb(
        "path-trace frames that were recorded in the embedded town", truth.add, truth.run
    ),
    "build": Verb("compile a checkpoint to TensorRT plans", build.add, build.run),
    "prompts": Verb(
        "list a model's prompts, or embed some with a text encoder", prompts.add, prompts.run
    ),
    "bench": Verb("measure the whole chain on this machine", bench.add, bench.run),
    "doctor": Verb(
        "say what is installed, what is missing, and how to get it", doctor.add, doctor.run
    ),
}
# verbs whose module has a main(arguments) and flags of its own: the module, its extra, a summary
MODULES = {
    "minitown": (
        "realmaster_live.minitown.server.server",
        "minitown",
        "serve the embedded town to any CARLA client",
    ),
    "pairs": (
        "realmaster_live.cli.pairs",
        "training",
        "make photoreal pairs from recordings, stage by stage",
    ),
    "dataset": (
        "realmaster_live.cli.dataset",
        "live",
        "verify, repair or export a recording",
    ),
    "fit": ("realmaster_live.training.fit", "training", "train a model from a recipe"),
    "distill": (
        "realmaster_live.training.distillation.command",
        "training",
        "make a student of few steps of a model of many",
    ),
    "export": (
        "realmaster_live.cli.export",
        "training",
        "turn a checkpoint into the graphs that run without torch",
    ),
    "evaluate": (
        "realmaster_live.training.evaluate.held_out",
        "training",
        "measure a model on held-out clips",
    ),
}


def parser() -> Parser:
    """Return the parser of all verbs."""
    top = Parser(prog="realmaster", description="Makes a running driving simulator look real.")
    top.add_argument("--version", action="version", version=version("realmaster-live"))
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    for name, verb in VERBS.items():
        sub = verbs.add_parser(
            name, help=verb.summary, description=verb.summary, allow_abbrev=False
        )
        verb.add(sub)
        sub.add_argument("--config", metavar="FILE", help=f"TOML with a table [{name}] of flags")
    for name, (_, _, summary) in MODULES.items():
        verbs.add_parser(name, help=summary)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns 0, or 1 for a fault, 2 for a wrong use, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:2] == ["minitown", "truth"]:
            arguments = arguments[1:]
        if arguments and arguments[0] in MODULES:
            module, extra, _ = MODULES[arguments[0]]
            return require(module, extra=extra).main(arguments[1:]) or 0
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
        options = parse(arguments)
        return VERBS[options.verb].run(options)
    except ConfigError as error:
        return _complain(error, USAGE)
    except RealMasterError as error:
        return _complain(error, FAULT)
    except KeyboardInterrupt:
        return INTERRUPTED


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options of a command line, with those of its --config file below them."""
    top = parser()
    options = top.parse_args(arguments)
    if options.config is None:
        return options
    defaults = vars(options).keys() - {"verb", "config"}
    flags = flags_from(
        options.config,
        options.verb,
        verbs=VERBS,
        keys={name.replace("_", "-") for name in defaults},
    )
    place = list(arguments).index(options.verb) + 1
    return top.parse_args([*arguments[:place], *flags, *arguments[place:]])


def _complain(error: RealMasterError, status: int) -> int:
    sys.stderr.write(f"realmaster: error: {error}\n")
    return status
