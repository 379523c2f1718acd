"""The command line: `realmaster VERB`, one module a verb."""

from __future__ import annotations

import sys

INTERRUPTED = 130  # what a shell tells of a program that Ctrl-C ended


def main(argv: list[str] | None = None) -> int:
    """Run one verb; returns 0, or 1 for a fault, 2 for a wrong use, 130 after Ctrl-C.

    What a command imports takes a good part of a second, in which Ctrl-C counts as well.
    """
    try:
        from realmaster_live.cli.command import run_command

        return run_command(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:
        # Under `python -m`, CPython ends by the signal if the interruption came through exec() of a
        # text, which dataclasses use, even where it was caught; another exec() takes that back.
        exec("")
        return INTERRUPTED
