"""What every kind of training run needs of its process: a device, signals, a log."""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType
from typing import Protocol

import torch

from realmaster_live.errors import ConfigError

STOPPED = 3  # exit status of a run that a signal ended: the same command goes on


class Stoppable(Protocol):
    """A run that a signal ends."""

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Ask the run to save and end within a step (a signal handler)."""


def use_device(name: str) -> None:
    """Make a device torch's default one and let it use what training may: TF32, tuned kernels."""
    if torch.device(name).type == "cuda":
        if not torch.cuda.is_available():
            raise ConfigError(
                f"expected a CUDA device for {name!r}, got none that torch {torch.__version__} "
                "sees: use --device cpu, or install an NVIDIA driver and a CUDA build of torch"
            )
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    torch.set_default_device(name)


def use_threads(count: int) -> None:
    """Let torch use this many threads of the processor; 0 leaves all cores to it."""
    if count:
        torch.set_num_threads(count)


def connect_signals(run: Stoppable) -> None:
    """Let SIGTERM, SIGINT and SIGUSR1 save and end the run within a step."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, run.stop)


def log_to_stdout() -> None:
    """Print what this package logs, and nobody else's notes."""
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stdout)
    logging.getLogger("realmaster_live").setLevel(logging.INFO)
