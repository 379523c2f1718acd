"""A command of the command line: which verb it names, its options, and how it ends."""

from __future__ import annotations

import os
import select
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from realmaster_live.cli.options import summary
from realmaster_live.cli.parsing import HELP_WIDTH, read_options
from realmaster_live.cli.values import nearest
from realmaster_live.cli.verbs import GROUPS, RENAMED, VERBS, Verb
from realmaster_live.errors import ConfigError, MissingDependency, RealMasterError
from realmaster_live.optional import missing

USAGE, FAULT = 2, 1
ABOUT = "Makes the cameras of a running driving simulator photoreal."


def run_command(argv: Sequence[str]) -> int:
    """Run the verb of a command line; returns 0, or 1 for a fault, 2 for a wrong use.

    Where nobody reads the output any more, as after `| head`, it ends without a word.
    """
    try:
        try:
            return _run(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _is_unread(sys.stdout.fileno()):
            raise  # another pipe broke
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered
        return FAULT


def _is_unread(pipe: int) -> bool:
    """Return whether the reading end of a pipe is closed."""
    poller = select.poll()
    poller.register(pipe, 0)  # errors are always told
    return any(event & select.POLLERR for _, event in poller.poll(0))


def _run(argv: Sequence[str]) -> int:
    try:
        verb, options = parse(argv)
        try:
            return verb(options)
        except ModuleNotFoundError as error:
            if isinstance(error, MissingDependency) or str(error.name).startswith("realmaster"):
                raise
            raise missing(str(error.name), extra=verb.extra, error=error) from error
    except ConfigError as error:
        return _complain(error, USAGE)
    except RealMasterError as error:
        return _complain(error, FAULT)


def parse(argv: Sequence[str]) -> tuple[Verb, Any]:
    """Return the verb of a command line and its options; help and --version end the process.

    Raises:
        ConfigError: there is no such verb, or an option is wrong.
    """
    arguments, name = _with_new_verbs(list(argv)), []
    if arguments[:1] == ["help"]:
        arguments = [*_with_new_verbs(arguments[1:]), "--help"]
    verb = Verb(summary=ABOUT, verbs=VERBS)
    tables = [VERBS.keys()]
    while arguments and arguments[0] in verb.verbs:
        name.append(arguments.pop(0))
        verb = verb.verbs[name[-1]]
        tables.append(verb.verbs.keys())
    if not name and arguments[:1] == ["--version"]:
        from importlib.metadata import version

        sys.stdout.write(f"{version('realmaster-live')}\n")
        raise SystemExit(0)
    if verb.formerly and arguments and not nearest(arguments[0], {*verb.verbs, "--help", "help"}):
        old = " ".join(name)
        _note(old, f"{old} {verb.formerly}")
        name.append(verb.formerly)
        verb = verb.verbs[name[-1]]
        tables.append(verb.verbs.keys())
    if verb.options:
        return verb, read_options(
            verb.cls, arguments, verb=name, tables=tables, epilog=_list_of(verb.verbs)
        )
    if arguments[:1] in (["--help"], ["-h"], ["help"]):
        sys.stdout.write(overview(name, verb))
        raise SystemExit(0)
    program = " ".join(("realmaster", *name))
    if not arguments:
        raise ConfigError(f"expected a verb after {program}, got none: see {program} --help")
    near = nearest(arguments[0], verb.verbs)
    advice = f"did you mean {near}?" if near else f"see {program} --help"
    raise ConfigError(f"expected a verb of {program}, got {arguments[0]!r}: {advice}")


def overview(name: Sequence[str], verb: Verb) -> str:
    """Return the help of `realmaster`, or of a verb that only holds others."""
    program = " ".join(("realmaster", *name))
    groups = GROUPS if not name else {"verbs": verb.verbs}
    lists = [f"{group}:\n{_list_of(verbs)}" for group, verbs in groups.items()]
    end = f"{program} VERB --help explains a verb."
    if not name:
        end += " Any verb takes --config FILE. realmaster --version prints the version."
    return "\n\n".join([f"usage: {program} VERB ...", verb.summary, *lists, end]) + "\n"


def _list_of(verbs: Mapping[str, Verb]) -> str:
    """Return a line for each verb, with what it is for."""
    lines = []
    for name, verb in verbs.items():
        text = verb.summary or summary(verb.cls)
        lines.append(
            textwrap.fill(
                text,
                HELP_WIDTH,
                initial_indent=f"  {name:13}",
                subsequent_indent=" " * 15,
                break_on_hyphens=False,
            )
        )
    return "\n".join(lines)


def _with_new_verbs(arguments: list[str]) -> list[str]:
    """Put the new name of a verb in the place of an earlier one, and say so."""
    for old, new in RENAMED.items():
        if tuple(arguments[: len(old)]) == old:
            _note(" ".join(old), " ".join(new))
            return [*new, *arguments[len(old) :]]
    return arguments


def _note(old: str, new: str) -> None:
    sys.stderr.write(f"realmaster: note: realmaster {old} is now called realmaster {new}\n")


def _complain(error: RealMasterError, status: int) -> int:
    sys.stderr.write(f"realmaster: error: {error}\n")
    return status
