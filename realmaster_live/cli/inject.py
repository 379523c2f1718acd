"""`realmaster inject`: photoreal cameras in an unmodified Python program."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass, field
from typing import Annotated

from realmaster_live.cli.realizing import RealizingOptions
from realmaster_live.cli.values import Flag
from realmaster_live.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Inject(RealizingOptions):
    """Run an unmodified program whose CARLA cameras deliver photoreal images.

    Attributes:
        command: The program and its arguments, after --.
    """

    command: Annotated[tuple[str, ...], Flag(positional=True, after_dashes=True)] = field()


def run(options: Inject) -> int:
    """Become the program; does not return unless it cannot be started."""
    from realmaster_live.bridges.carla.injection import environment

    program = shutil.which(options.command[0])
    if program is None:
        raise ConfigError(
            f"expected a program after --, got {options.command[0]!r}, which is not found or is no "
            "program: write realmaster inject [options] -- python their_script.py"
        )
    realizing = options.realizing()
    realizing.check_engine()
    sys.stdout.flush()
    os.execve(program, options.command, environment(realizing, os.environ))
