"""The options that every kind of training run has, and how its estimate is printed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated, Any

from realmaster_live.cli.values import Flag


@dataclass(frozen=True, kw_only=True)
class TrainingRun:
    """The run.

    Attributes:
        accept_change: Go on although this entry of the saved conditions changed. This may be
            repeated.
        print_config: Print the recipe with all its defaults, and train nothing.
        estimate: Print what the run would take: memory, operations and hours on one GPU. Train
            nothing; needs neither weights nor data.
        size: Width and height of the pictures that --estimate assumes, such as 832x480.
        device: The device: cpu, cuda or cuda:N.
    """

    accept_change: Annotated[tuple[str, ...], Flag(metavar="KEY")] = ()
    print_config: bool = False
    estimate: bool = False
    size: tuple[int, int] | None = None
    device: Annotated[str, Flag(metavar="NAME")] = "cpu"


def print_estimate(estimate: Any) -> int:
    """Print what a run would take; returns the exit status."""
    sys.stdout.write("".join(f"{line}\n" for line in estimate.lines()))
    return 0


def print_cost(estimate: Any) -> None:
    """Print the cost of a run that begins, and a warning if the GPU's memory is too small."""
    sys.stdout.write(f"{estimate.line()}\n")
    warning = estimate.warning()
    if warning:
        print(f"realmaster: warning: {warning}", file=sys.stderr)
