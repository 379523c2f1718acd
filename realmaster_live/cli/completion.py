"""`realmaster completion`: a script by which a shell completes verbs, flags and values."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from realmaster_live.cli.options import Option, options_of
from realmaster_live.cli.values import Flag
from realmaster_live.cli.verbs import VERBS, Verb, all_verbs

ZSH = "autoload -U +X bashcompinit && bashcompinit\n"
FUNCTION = """\
_realmaster() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb= word
  local words="%(verbs)s --help --version" values=
  for word in "${COMP_WORDS[@]:1:$((COMP_CWORD - 1))}"; do
    case "$verb $word" in
%(path)s
      *) break ;;
    esac
  done
  case "$verb $prev" in
%(values)s
  esac
  if [ -n "$values" ]; then words=$values; fi
  if [ "$values" = FILE ]; then
    local IFS=$'\n'
    COMPREPLY=($(compgen -f -- "$cur"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
  fi
}
complete -o default -F _realmaster realmaster
"""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """Print a script by which a shell completes verbs, flags and values.

    For bash, put `eval "$(realmaster completion bash)"` into ~/.bashrc; for zsh,
    `eval "$(realmaster completion zsh)"` into ~/.zshrc, below the line with compinit.

    Attributes:
        shell: The shell, bash or zsh.
    """

    shell: Annotated[Literal["bash", "zsh"], Flag(positional=True)]


def run(options: Completion) -> int:
    """Print the script."""
    sys.stdout.write((ZSH if options.shell == "zsh" else "") + script())
    return 0


def script() -> str:
    """Return the script for bash."""
    path, values = [], []
    for name, verb in all_verbs():
        above, full = " ".join(name[:-1]), " ".join(name)
        words = " ".join(_words(verb))
        path.append(f'      "{above} {name[-1]}") verb="{full}" words="{words}" ;;')
        values += [f"    {line} ;;" for line in _values(full, verb)]
    return FUNCTION % {
        "verbs": " ".join(VERBS),
        "path": "\n".join(path),
        "values": "\n".join(values),
    }


def _options(verb: Verb) -> list[Option]:
    return [one for one in options_of(verb.cls) if not one.flag.hidden] if verb.options else []


def _words(verb: Verb) -> Iterator[str]:
    yield from verb.verbs
    for option in _options(verb):
        if option.flag.positional:
            yield from option.value.choices if option.value else ()
        else:
            yield option.name
    yield "--help"
    if verb.options:
        yield "--config"


def _values(full: str, verb: Verb) -> Iterator[str]:
    """Yield a case for each flag that has a value: its choices, or files."""
    for option in _options(verb):
        if option.value is not None and not option.flag.positional:
            known = " ".join(option.value.choices)
            yield f'"{full} {option.name}") values="{known or "FILE"}"'
    if verb.options:
        yield f'"{full} --config") values="FILE"'
