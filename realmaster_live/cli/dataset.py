"""`realmaster dataset VERB RECORDING`: look at a recording, finish it, turn it into a data set."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from realmaster_live.cli.options import Parser

# verb -> its module, which has add(parser) and run(options), and what it is for
VERBS = {
    "info": ("dataset_info", "say what was recorded"),
    "verify": ("dataset_verify", "say what is there, what is missing and what is damaged"),
    "export": ("dataset_export", "turn recordings into a data set that others can read"),
    "repair": ("dataset_repair", "finish a recording whose process was killed"),
}


def parser(verb: str | None = None) -> Parser:
    """Return the parser; with the flags of one verb, or of none."""
    top = Parser(prog="realmaster dataset", description=__doc__)
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    for name, (_, summary) in VERBS.items():
        sub = verbs.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        if name == verb:
            _module(name).add(sub)
    return top


def main(argv: Sequence[str]) -> int:
    """Run one verb; returns its exit status."""
    asked = next((name for name in argv if name in VERBS), None)
    options: argparse.Namespace = parser(asked).parse_args(argv)
    status: int = _module(options.verb).run(options)
    return status


def _module(verb: str) -> Any:
    return import_module(f"realmaster_live.cli.{VERBS[verb][0]}")
