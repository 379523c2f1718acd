"""Process setup for training runs: device, threads, signals, logging."""

from __future__ import annotations

import logging
import signal
import sys
from types import FrameType
from typing import Protocol

import torch

from realmaster_live.errors import ConfigError

STOPPED = 3  # exit status of a run that a signal ended; the same command resumes it


class Stoppable(Protocol):
    """A run that can be stopped by a signal."""

    def stop(self, number: int, frame: FrameType | None) -> None:
        """Request that the run saves and ends within a step (called by the signal handler)."""


def use_device(name: str) -> None:
    """Make a device torch's default, with the fast modes that training allows: TF32, autotuning."""
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
    """On SIGTERM, SIGINT or SIGUSR1, save the run and end it within a step."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, run.stop)


def log_to_stdout() -> None:
    """Print this package's log to stdout, and no other library's."""
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stdout)
    logging.getLogger("realmaster_live").setLevel(logging.INFO)
