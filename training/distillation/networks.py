"""The networks of a distillation, all of which start as the teacher.

A teacher is named `CHECKPOINT`, or `BASE+ADAPTER` for a LoRA file over a checkpoint.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from realmaster_live.errors import ConfigError
from realmaster_live.model.checkpoint import TRANSFORMER_FILES, load_checkpoint, read_profile
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.lora import Adapter, attach
from realmaster_live.model.lora_files import LoraFacts, load, read_facts
from realmaster_live.model.vae import StreamingAutoencoder
from realmaster_live.training.checkpoints import digest_of
from realmaster_live.training.distillation.recipe import Trains

LICENCE = "Apache-2.0"  # of a checkpoint whose facts name none: the package's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher:
    """Where a teacher is, or what a student starts as.

    Attributes:
        base: the checkpoint's folder. adapter: a LoRA file over it, if any.
    """

    base: Path
    adapter: Path | None = None

    @classmethod
    def parse(cls, text: str) -> Teacher:
        """Return the teacher that `CHECKPOINT` or `BASE+ADAPTER` names."""
        if Path(text).is_dir() or "+" not in text:
            return cls(base=Path(text))
        base, adapter = text.rsplit("+", 1)
        if not Path(adapter).is_file():
            raise ConfigError(
                f"expected BASE+ADAPTER with a LoRA file after the +, got no file {adapter}: give "
                "the adapter.safetensors that training wrote"
            )
        return cls(base=Path(base), adapter=Path(adapter))

    def facts(self) -> dict[str, Any]:
        """Return what the base's facts.json says; empty without one."""
        path = self.base / "facts.json"
        facts: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return facts

    def adapter_facts(self) -> LoraFacts | None:
        """Return what the adapter's file says about itself."""
        return read_facts(self.adapter) if self.adapter is not None else None

    def lora_facts(self) -> LoraFacts:
        """Return what an adapter of this teacher's student says about itself."""
        known = self.adapter_facts()
        base_sha256 = digest_of(self.base / TRANSFORMER_FILES[0])
        if known is not None:
            return dataclasses.replace(known, base_sha256=base_sha256)
        licence = str(self.facts().get("licence", LICENCE))
        return LoraFacts(
            base_model=read_profile(self.base).name, base_sha256=base_sha256, licence=licence
        )

    def identity(self, name: str) -> dict[str, str]:
        """Return the hashes of the weights, under keys that begin with `name`."""
        hashes = {f"{name}.base": digest_of(self.base / TRANSFORMER_FILES[0])}
        if self.adapter is not None:
            hashes[f"{name}.adapter"] = digest_of(self.adapter)
        return hashes


def open_frozen(teacher: Teacher) -> tuple[StreamingAutoencoder, InContextTransformer]:
    """Return the teacher's networks, its adapter fused, without gradients."""
    autoencoder, network = load_checkpoint(teacher.base)
    if teacher.adapter is not None:
        adapter = load(teacher.adapter, network)
        adapter.merge()
        adapter.detach()
    for module in (autoencoder, network):
        module.requires_grad_(False).to(torch.get_default_device())
    return autoencoder, network


def open_trained(
    teacher: Teacher, trains: Trains, *, rank: int, seed: int
) -> tuple[InContextTransformer, Adapter | None]:
    """Return a network that starts as the teacher, and the adapter that is trained, if one is."""
    if trains == "weights":
        _, network = open_frozen(teacher)
        return network.requires_grad_(True), None
    _, network = load_checkpoint(teacher.base)
    network.to(torch.get_default_device())
    if teacher.adapter is not None:
        return network, load(teacher.adapter, network)
    generator = torch.Generator(torch.get_default_device()).manual_seed(seed)
    return network, attach(network, rank=rank, generator=generator)
