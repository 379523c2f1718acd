"""From a command line and a configuration file to the dataclass of a verb."""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from realmaster_live.cli.config import read_table
from realmaster_live.cli.options import NO_DEFAULT, Option, build, description, options_of
from realmaster_live.cli.values import nearest
from realmaster_live.errors import ConfigError

T = TypeVar("T")
HELP_WIDTH = 100
NO_VALUE = re.compile(r"argument (\S+): expected .*argument")


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are ours: one sentence, exit status 2."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError."""
        found = NO_VALUE.fullmatch(message)
        if found:
            message = f"expected a value after {found[1]}, got none"
        raise ConfigError(f"{message}: see {self.prog} --help")


def read_options(
    cls: type[T],
    arguments: Sequence[str],
    *,
    verb: Sequence[str],
    tables: Sequence[Collection[str]] = ((),),
    epilog: str = "",
) -> T:
    """Return the options of a command line, with those of its --config file below them.

    Args:
        cls: the verb's dataclass.
        arguments: the command line after the verb.
        verb: the verb and the verbs above it, ("dataset", "export").
        tables: names of the tables in a configuration file: at its top, in the first verb's table
            and so on down to this verb's.
        epilog: a list of the verbs below this one, for its help.

    Raises:
        ConfigError: a flag, an argument or a value is wrong or missing.
    """
    options = options_of(cls)
    parser = make_parser(cls, options, verb)
    parser.epilog = f"verbs:\n{epilog}" if epilog else None
    arguments, words = _split(options, arguments)
    given, rest = parser.parse_known_intermixed_args(_with_new_names(options, arguments))
    if rest:
        _refuse(rest[0], options, parser.prog)
    found = vars(given)
    _put_words(options, words, found, parser.prog)
    values: dict[tuple[str, ...], Any] = {}
    config = found.pop("config", None)
    if config is not None:
        known = {option.key: option for option in options}
        known |= {f"no-{option.key}": option for option in options if option.value is None}
        renamed = {one.flag.formerly: one.key for one in options if one.flag.formerly}
        content = read_table(config[-1], verb, keys=known, tables=tables, renamed=renamed)
        for key, texts in content.items():
            option = known[key]
            values[option.path] = _read(option, texts, f"{key} in {config[-1]}", key=key)
    for option in options:
        if ".".join(option.path) in found:
            values[option.path] = _read(option, found[".".join(option.path)], option.name)
    missing = [option for option in options if _is_missing(option, values)]
    if missing:
        names = " and ".join(option.name for option in missing)
        raise ConfigError(f"expected {names}, got none: see {parser.prog} --help")
    return build(cls, values)


def make_parser(cls: type, options: Sequence[Option], verb: Sequence[str]) -> Parser:
    """Return a parser that collects the texts of a verb's options."""
    parser = Parser(
        prog=" ".join(("realmaster", *verb)),
        description="\n\n".join(textwrap.fill(part, HELP_WIDTH - 2) for part in description(cls)),
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=_formatter,
        add_help=False,
    )
    arguments = [option for option in options if option.flag.positional]
    words = [_usage(option) for option in arguments if not option.flag.after_dashes]
    last = [_usage(option) for option in arguments if option.flag.after_dashes]
    parser.usage = " ".join((parser.prog, *words, "[options]", *(["--", *last] if last else [])))
    if arguments:
        group = parser.add_argument_group("arguments")
        for option in arguments:
            _add(group, option)
    for heading in dict.fromkeys(["", *(option.group for option in options)]):
        group = parser.add_argument_group(heading or "options")
        for option in options:
            if option.group == heading and not option.flag.positional:
                _add(group, option)
        if not heading:
            group.add_argument(
                "--config",
                action="append",
                metavar="FILE",
                help=f"Take options from the table [{'.'.join(verb)}] of this TOML file; what the "
                "command line says wins.",
            )
            group.add_argument("-h", "--help", action="help", help="Print this help.")
    return parser


def _usage(option: Option) -> str:
    words = option.metavar + " ..." * option.many
    return words if option.default is NO_DEFAULT else f"[{words}]"


def _formatter(prog: str) -> argparse.HelpFormatter:
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=26, width=HELP_WIDTH)


def _add(group: Any, option: Option) -> None:
    dest = ".".join(option.path)
    text = option.explained.replace("%", "%%")
    shown = argparse.SUPPRESS if option.flag.hidden else text
    if option.value is None:  # the switch that does something is shown, its opposite works too
        for name, turned in ((option.key, True), (f"no-{option.key}", False)):
            group.add_argument(
                f"--{name}",
                dest=dest,
                action="store_const",
                const=turned,
                help=argparse.SUPPRESS if turned == option.default else shown,
            )
    elif option.flag.positional:
        count = "*" if option.many else "?"
        group.add_argument(dest, nargs=count, metavar=option.metavar, help=shown)
    elif option.flag.several:
        group.add_argument(
            f"--{option.key}",
            dest=dest,
            action="extend",
            nargs="+",
            metavar=option.metavar,
            help=shown,
        )
    else:
        group.add_argument(
            f"--{option.key}", dest=dest, action="append", metavar=option.metavar, help=shown
        )


def _is_missing(option: Option, values: Mapping[tuple[str, ...], Any]) -> bool:
    if option.default is not NO_DEFAULT:
        return False
    return option.path not in values or (option.many and not values[option.path])


def _split(
    options: Sequence[Option], arguments: Sequence[str]
) -> tuple[Sequence[str], Sequence[str]]:
    """Return what comes before `--` and what comes after it, none of which is a flag of ours."""
    takes_words = any(option.flag.positional for option in options)
    if not takes_words or "--" not in arguments:
        return arguments, ()
    at = list(arguments).index("--")
    return arguments[:at], arguments[at + 1 :]


def _put_words(
    options: Sequence[Option], words: Sequence[str], found: dict[str, Any], program: str
) -> None:
    """Add the words after `--` to the arguments that are not given yet, in their order."""
    for option in options:
        dest = ".".join(option.path)
        if not option.flag.positional or not words:
            continue
        if option.many:
            found[dest], words = [*found.get(dest, ()), *words], ()
        elif dest not in found:
            found[dest], words = words[0], words[1:]
    if words:
        raise ConfigError(f"expected no more arguments, got {words[0]!r}: see {program} --help")


def _with_new_names(options: Sequence[Option], arguments: Sequence[str]) -> list[str]:
    """Put the new name of a flag in the place of an earlier one, and say so once."""
    renamed = {f"--{each.flag.formerly}": each.name for each in options if each.flag.formerly}
    changed, reported = [], set[str]()
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if flag in renamed:
            if flag not in reported:
                sys.stderr.write(f"realmaster: note: {flag} is now called {renamed[flag]}\n")
            reported.add(flag)
            argument = f"{renamed[flag]}{equals}{value}"
        changed.append(argument)
    return changed


def _refuse(argument: str, options: Sequence[Option], program: str) -> NoReturn:
    if not argument.startswith("-"):
        raise ConfigError(f"expected no more arguments, got {argument!r}: see {program} --help")
    flags = [option.name for option in options if not option.flag.positional]
    near = nearest(argument.partition("=")[0], [*flags, "--config", "--help"])
    advice = f"did you mean {near}?" if near else f"see {program} --help"
    raise ConfigError(f"expected a flag of {program}, got {argument}: {advice}")


def _read(option: Option, given: Any, name: str, *, key: str = "") -> Any:
    """Return the value of what was given: a list of texts, or one text, or whether a switch is on.

    `key` is the name in a configuration file; "no-" before it turns a switch off.
    """
    if option.value is None:
        if not isinstance(given, bool):
            raise ConfigError(f"expected true or false for {name}, got {given!r}: write one")
        return given != (key == f"no-{option.key}")
    texts = given if isinstance(given, list) else [given]
    if key and not option.many:
        texts = [",".join(map(str, texts))]
    values = [_value(option, text, name) for text in texts]
    return tuple(values) if option.many else values[-1]


def _value(option: Option, text: Any, name: str) -> Any:
    assert option.value is not None
    try:
        if not isinstance(text, str):
            raise ValueError(text)
        return option.value.read(text)
    except (ValueError, OverflowError):
        near = nearest(str(text), option.value.choices)
        advice = f"did you mean {near}?" if near else "correct it"
        raise ConfigError(
            f"expected {option.value.expected} for {name}, got {text!r}: {advice}"
        ) from None
