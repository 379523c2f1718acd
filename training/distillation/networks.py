"""The networks of a distillation, which are all initialized from the teacher.

A teacher is named `CHECKPOINT`, or `BASE+ADAPTER` for a LoRA file over a checkpoint.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from realmaster_live.errors import ConfigError
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.lora import Adapter, attach
from realmaster_live.model.lora_facts import LoraFacts
from realmaster_live.model.lora_files import load, read_facts
from realmaster_live.training.checkpoints import digest_of
from realmaster_live.training.distillation.recipe import Trains, Weights
from realmaster_live.training.iclora.base import Base, BaseConfig, load_base, prepare

LICENCE = "Apache-2.0"  # licence of a checkpoint of ours whose facts name none


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """The files of a teacher, or of a student's initial weights.

    Attributes:
        base: the checkpoint's folder, ours or diffusers'. adapter: a LoRA file for it, if any.
        config: options to read a diffusers model, with its name and licence.
    """

    base: Path
    adapter: Path | None = None
    config: BaseConfig = dataclasses.field(default_factory=BaseConfig)

    @classmethod
    def parse(cls, text: str, config: BaseConfig) -> Teacher:
        """Return the teacher that `CHECKPOINT` or `BASE+ADAPTER` names."""
        if Path(text).is_dir() or "+" not in text:
            return cls(base=Path(text), config=config)
        base, adapter = text.rsplit("+", 1)
        if not Path(adapter).is_file():
            raise ConfigError(
                f"expected BASE+ADAPTER with a LoRA file after the +, got no file {adapter}: give "
                "the adapter.safetensors that training wrote"
            )
        return cls(base=Path(base), adapter=Path(adapter), config=config)

    def read(self) -> Base:
        """Read the base model, on the CPU."""
        if self.config.expert:
            raise ConfigError(
                f"expected a teacher of one expert, got expert {self.config.expert!r}: distil a "
                "single model, such as Wan2.1-T2V-1.3B"
            )
        return load_base(dataclasses.replace(self.config, checkpoint=str(self.base)))

    def facts(self) -> dict[str, Any]:
        """Return the contents of the base's facts.json; empty without one."""
        path = self.base / "facts.json"
        facts: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return facts

    @cached_property
    def lora_facts(self) -> LoraFacts:
        """Return the LoRA metadata of an adapter for this base."""
        base = self.read()
        known = read_facts(self.adapter) if self.adapter is not None else None
        if known is not None:
            return dataclasses.replace(known, base_sha256=base.sha256)
        own = LICENCE if base.autoencoder is not None else base.licence
        licence = self.config.licence or str(self.facts().get("licence", own))
        return LoraFacts(base_model=base.name, base_sha256=base.sha256, licence=licence)

    def identity(self, name: str) -> dict[str, str]:
        """Return the hashes of the weights, under keys that begin with `name`."""
        hashes = {f"{name}.base": self.lora_facts.base_sha256}
        if self.adapter is not None:
            hashes[f"{name}.adapter"] = digest_of(self.adapter)
        return hashes


def open_frozen(teacher: Teacher, weights: Weights = "fp32") -> Base:
    """Return a frozen model with its adapter merged, on torch's default device."""
    base = teacher.read()
    if teacher.adapter is not None:
        adapter = load(teacher.adapter, base.transformer)
        adapter.merge()
        adapter.detach()
    prepare(base, weights=weights, device=torch.get_default_device())
    return base


def open_trained(
    teacher: Teacher, trains: Trains, *, weights: Weights, rank: int, seed: int
) -> tuple[InContextTransformer, Adapter | None]:
    """Return a network initialized from the teacher, and its trainable adapter, if any.

    `weights` is the storage type of frozen weights under an adapter.
    """
    if trains == "weights":
        return open_frozen(teacher).transformer.requires_grad_(True), None
    base = teacher.read()
    prepare(base, weights=weights, device=torch.get_default_device())
    network = base.transformer
    if teacher.adapter is not None:
        return network, load(teacher.adapter, network)
    return network, attach(network, rank=rank, generator=torch.Generator("cpu").manual_seed(seed))
