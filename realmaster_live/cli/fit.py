"""`realmaster fit`: train on pairs what a recipe's `method` names."""

from __future__ import annotations

import dataclasses
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from realmaster_live.cli.training_run import TrainingRun, print_cost, print_estimate
from realmaster_live.cli.values import Flag
from realmaster_live.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Train a model from a recipe; the same command goes on where a run was left.

    The method "stages" trains the embedded model in five stages: autoencoder, transformer, distill,
    decoder and joint. The folder checkpoint in --out always holds the best of the stages done so
    far, ready for export. The method "ic-lora" trains an adapter of a larger model and writes
    adapter.safetensors. The method "decoder" trains a head behind a tiny autoencoder's decoder
    that looks at the render, and writes the checkpoint with it.

    Attributes:
        recipe: The TOML file of the recipe.
        data: A folder of pairs; of decoder also a dataset that realmaster pairs run made; of
            ic-lora a dataset or its shards.
        out: Folder of the run.
        start: A checkpoint or an export whose weights a new run of stages begins with.
        base: The model that ic-lora trains an adapter of, or the checkpoint that gets the head.
    """

    recipe: Annotated[Path, Flag(positional=True)]
    data: Annotated[Path | None, Flag(metavar="DIR")] = None
    out: Annotated[Path | None, Flag(metavar="DIR")] = None
    start: Annotated[Path | None, Flag(metavar="DIR")] = None
    base: Annotated[str | None, Flag(metavar="DIR|NAME")] = None
    run: TrainingRun = field(default_factory=TrainingRun)


def run(options: Fit) -> int:
    """Train; the exit status is 0 for a finished run, 3 for a stopped one."""
    from realmaster_live.training.recipe import method_of
    from realmaster_live.training.recipe_tables import read_table
    from realmaster_live.training.session import log_to_stdout

    log_to_stdout()
    table = read_table(options.recipe)
    methods = {"stages": train_stages, "ic-lora": train_adapter, "decoder": train_head}
    train = methods[method_of(table)]
    return train(table, options)


def _folders(options: Fit) -> tuple[Path, Path]:
    """Return the folders of the data and of the run."""
    if options.data is None or options.out is None:
        raise ConfigError("expected --data and --out, got none: see realmaster fit --help")
    return options.data, options.out


def train_stages(table: dict[str, Any], options: Fit) -> int:
    """Train the embedded model's stages."""
    from realmaster_live.training.embedded.run import fit
    from realmaster_live.training.recipe import parse_recipe
    from realmaster_live.training.session import STOPPED, signalled, use_device

    if options.base is not None:
        raise ConfigError('expected --base with method = "ic-lora", got stages: use --start')
    recipe = parse_recipe(table)
    if options.run.print_config:
        sys.stdout.write(json.dumps(dataclasses.asdict(recipe), indent=2) + "\n")
        return 0
    if options.run.estimate:
        raise ConfigError(
            'expected --estimate with method = "ic-lora", got stages, which end by the clock: see '
            "budget_s in the recipe"
        )
    data, out = _folders(options)
    use_device(options.run.device)
    finished = fit(
        recipe,
        data,
        out,
        start=options.start,
        accepted=options.run.accept_change,
        stop=signalled(),
    )
    return 0 if finished else STOPPED


def train_adapter(table: dict[str, Any], options: Fit) -> int:
    """Train an IC-LoRA."""
    from realmaster_live.training.estimate.fit import estimate_adapter
    from realmaster_live.training.estimate.shapes import largest_size
    from realmaster_live.training.iclora.base import profile_of
    from realmaster_live.training.iclora.data import open_data
    from realmaster_live.training.iclora.recipe import parse_recipe
    from realmaster_live.training.iclora.train import IcLoraRun
    from realmaster_live.training.recipe_tables import to_toml
    from realmaster_live.training.session import STOPPED, signalled, use_device

    if options.start is not None:
        raise ConfigError('expected --start with the stages, got method = "ic-lora": use --base')
    recipe = parse_recipe(table)
    if options.base is not None:
        base = dataclasses.replace(recipe.base, checkpoint=options.base)
        recipe = dataclasses.replace(recipe, base=base)
    if options.run.print_config:
        sys.stdout.write(to_toml(dataclasses.asdict(recipe)))
        return 0
    if options.run.estimate:
        figures = estimate_adapter(recipe, profile_of(recipe.base), options.run.size)
        return print_estimate(figures)
    folder, out = _folders(options)
    use_device(options.run.device)
    data = open_data(folder)
    if options.run.device != "cpu":
        profile = profile_of(recipe.base)
        size = largest_size(profile, data.training.shapes)
        print_cost(estimate_adapter(recipe, profile, size))
    training = IcLoraRun(recipe, data, out, accepted=options.run.accept_change, stop=signalled())
    return 0 if training.train() else STOPPED


def train_head(table: dict[str, Any], options: Fit) -> int:
    """Train a head that looks at the render."""
    from realmaster_live.training.decoder_head import HeadRun
    from realmaster_live.training.recipe import parse_recipe
    from realmaster_live.training.recipe_tables import to_toml
    from realmaster_live.training.session import STOPPED, signalled, use_device

    recipe = parse_recipe({**table, "stages": ["decoder"]})
    if options.run.print_config:
        shown = dataclasses.asdict(recipe)
        kept = ("seed", "threads", "bfloat16", "save_s", "validate_s", "decoder")
        sys.stdout.write(to_toml({"method": "decoder", **{name: shown[name] for name in kept}}))
        return 0
    if options.base is None or options.start is not None:
        raise ConfigError(
            'expected --base CHECKPOINT with method = "decoder", got none, or --start: give the '
            "checkpoint that realmaster model import wrote"
        )
    data, out = _folders(options)
    use_device(options.run.device)
    training = HeadRun(
        recipe,
        data,
        out,
        Path(options.base),
        accepted=options.run.accept_change,
        stop=signalled(),
    )
    return 0 if training.train() else STOPPED
