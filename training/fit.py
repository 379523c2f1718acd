"""Train on pairs what a recipe's `method` names; the same command goes on where RUN was left.

`realmaster fit RECIPE --data DIR --out RUN`. "stages" trains the embedded model: autoencoder,
transformer, distill, decoder, joint; RUN/checkpoint always holds the best of the stages done so
far, ready for export. "ic-lora" trains an adapter of a larger model: RUN/adapter.safetensors.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

import torch

from realmaster_live.errors import ConfigError
from realmaster_live.training.embedded.run import fit
from realmaster_live.training.iclora.data import open_data
from realmaster_live.training.iclora.recipe import parse_recipe as parse_ic_lora
from realmaster_live.training.iclora.train import IcLoraRun
from realmaster_live.training.recipe import (
    method_of,
    parse_recipe,
    read_table,
    toml_of,
)

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


def connect_signals(run: Stoppable) -> None:
    """Let SIGTERM, SIGINT and SIGUSR1 save and end the run within a step."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, run.stop)


def add_run_flags(flags: argparse.ArgumentParser) -> None:
    """Add the flags that every kind of training run has."""
    flags.add_argument(
        "--accept-change",
        action="append",
        default=[],
        metavar="KEY",
        help="go on although this entry of the saved conditions changed; may be repeated",
    )
    flags.add_argument("--print-config", action="store_true")
    flags.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    flags = argparse.ArgumentParser(prog="realmaster fit", description=__doc__)
    flags.add_argument("recipe", type=Path)
    flags.add_argument("--data", type=Path, help="a folder of pairs, or of shards (ic-lora)")
    flags.add_argument("--out", type=Path, help="the run's folder")
    flags.add_argument("--start", type=Path, help="a checkpoint that a new run begins with")
    flags.add_argument("--base", help="the model that an adapter is trained on (ic-lora)")
    add_run_flags(flags)
    return flags


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; the exit status is 0 for a finished run, 3 for a stopped one."""
    flags = parser()
    options = flags.parse_args(arguments)
    logging.basicConfig(format="%(asctime)s %(message)s", stream=sys.stdout)
    logging.getLogger("realmaster_live").setLevel(logging.INFO)  # and nobody else's
    table = read_table(options.recipe)
    train = {"stages": train_stages, "ic-lora": train_adapter}[method_of(table)]
    if not options.print_config and None in (options.data, options.out):
        flags.error("the following arguments are required: --data, --out")
    return train(table, options)


def train_stages(table: dict[str, Any], options: argparse.Namespace) -> int:
    """Train the embedded model's stages."""
    if options.base is not None:
        raise ConfigError('expected --base with method = "ic-lora", got stages: use --start')
    recipe = parse_recipe(table)
    if options.print_config:
        sys.stdout.write(json.dumps(dataclasses.asdict(recipe), indent=2) + "\n")
        return 0
    use_device(options.device)
    finished = fit(
        recipe,
        options.data,
        options.out,
        start=options.start,
        accepted=options.accept_change,
        handle=connect_signals,
    )
    return 0 if finished else STOPPED


def train_adapter(table: dict[str, Any], options: argparse.Namespace) -> int:
    """Train an IC-LoRA."""
    if options.start is not None:
        raise ConfigError('expected --start with the stages, got method = "ic-lora": use --base')
    recipe = parse_ic_lora(table)
    if options.base is not None:
        base = dataclasses.replace(recipe.base, checkpoint=options.base)
        recipe = dataclasses.replace(recipe, base=base)
    if options.print_config:
        sys.stdout.write(toml_of(dataclasses.asdict(recipe)))
        return 0
    use_device(options.device)
    data = open_data(options.data)
    run = IcLoraRun(recipe, data, options.out, accepted=options.accept_change)
    connect_signals(run)
    return 0 if run.train() else STOPPED


if __name__ == "__main__":
    sys.exit(main())
