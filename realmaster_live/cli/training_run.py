"""The options that every kind of training run has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from realmaster_live.cli.values import Flag


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """The run.

    Attributes:
        accept_change: Go on although this entry of the saved conditions changed. This may be
            repeated.
        print_config: Print the recipe with all its defaults, and train nothing.
        device: The device: cpu, cuda or cuda:N.
    """

    accept_change: Annotated[tuple[str, ...], Flag(metavar="KEY")] = ()
    print_config: bool = False
    device: Annotated[str, Flag(metavar="NAME")] = "cpu"
