"""Process setup for training runs: device, threads, signals, logging."""

from __future__ import annotations

import logging
import platform
import signal
import sys
from collections.abc import Callable

import torch

from realmaster_live.errors import ConfigError

STOPPED = 3  # exit status of a run that a signal ended; the same command resumes it


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


def signalled() -> Callable[[], bool]:
    """From now on, note SIGTERM, SIGINT and SIGUSR1; return whether one has come, as `stop`."""
    come: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, lambda got, frame: come.append(got))
    return lambda: bool(come)


def machine(threads: int) -> str:
    """Return a description of the device and the software."""
    device = torch.get_default_device()
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()}, {threads} threads"


def log_to_stdout() -> None:
    """Print this package's log to stdout, and no other library's."""
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stdout)
    logging.getLogger("realmaster_live").setLevel(logging.INFO)
