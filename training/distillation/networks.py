"""The networks of a distillation, which are all initialized from the teacher.

A teacher is given as `CHECKPOINT`, as `BASE+ADAPTER` for a LoRA file on a checkpoint, or as
`BASE+HIGH+LOW` for two experts. Networks with adapters on one base share its weights in memory.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Sequence
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
from realmaster_live.model.profile import Profile
from realmaster_live.system.contents import sha256_of
from realmaster_live.training.distillation.recipe import DistillRecipe, Trains
from realmaster_live.training.experts import Network, joined, transformers_of
from realmaster_live.training.iclora.base import (
    Base,
    BaseConfig,
    check_adapter,
    load_base,
    prepare,
    profile_of,
)
from realmaster_live.training.recompute import recompute

LICENCE = "Apache-2.0"  # licence of our checkpoints whose facts name none
EXPERTS = ("high_noise", "low_noise")


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """The files of a teacher, or of a student's initial weights.

    Attributes:
        base: folder of one of our checkpoints or of a diffusers model.
        adapter: its LoRA file, if any; with two experts, the one for the noisier timesteps.
        adapter_2: the LoRA file of the second expert, if any.
        config: options to read a diffusers model, with its name and licence.
    """

    base: Path
    adapter: Path | None = None
    adapter_2: Path | None = None
    config: BaseConfig = dataclasses.field(default_factory=BaseConfig)

    @classmethod
    def parse(cls, text: str, config: BaseConfig) -> Teacher:
        """Return the teacher that `CHECKPOINT`, `BASE+ADAPTER` or `BASE+HIGH+LOW` names."""
        base = text
        adapters: list[Path] = []
        while not Path(base).is_dir() and "+" in base and len(adapters) < len(EXPERTS):
            base, file = base.rsplit("+", 1)
            if not Path(file).is_file():
                raise ConfigError(
                    f"expected BASE+ADAPTER with a LoRA file after the +, got no file {file}: "
                    "give the adapter.safetensors that training wrote"
                )
            adapters.insert(0, Path(file))
        return cls(
            base=Path(base),
            adapter=adapters[0] if adapters else None,
            adapter_2=adapters[1] if len(adapters) > 1 else None,
            config=config,
        )

    def adapters(self, experts: int) -> tuple[Path | None, ...]:
        """Return the LoRA file of each expert, or None for one without.

        Raises:
            ConfigError: one of two experts has none, or a single model has two.
        """
        files = (self.adapter, self.adapter_2)
        if experts == 1:
            if self.adapter_2 is not None:
                raise ConfigError(
                    f"expected one LoRA file for {self.base}, which has one expert, got two: give "
                    "BASE+ADAPTER"
                )
            return files[:1]
        if files.count(None) == 1:
            raise ConfigError(
                f"expected a LoRA file for each expert of {self.base}, got {self.adapter} alone: "
                "give BASE+HIGH+LOW, the one for the noisier timesteps first"
            )
        return files

    @property
    def _config(self) -> BaseConfig:
        if self.config.expert:
            raise ConfigError(
                f"expected a teacher of all experts, got expert {self.config.expert!r}: leave "
                "expert out of [base], since a distillation trains both"
            )
        return dataclasses.replace(self.config, checkpoint=str(self.base))

    @property
    def profile(self) -> Profile:
        """Return the profile of the base model; of diffusers' models, before their own sizes."""
        return profile_of(self._config)

    def read(self) -> Base:
        """Return the base model, which must have one expert, on the CPU."""
        return load_base(self._config)

    def read_experts(self) -> tuple[Base, ...]:
        """Return the base models, one for each expert, on the CPU."""
        config = self._config
        if self.profile.experts == 1:
            return (load_base(config),)
        return tuple(load_base(dataclasses.replace(config, expert=each)) for each in EXPERTS)

    def facts(self) -> dict[str, Any]:
        """Return the contents of the base's facts.json; empty without one."""
        path = self.base / "facts.json"
        facts: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return facts

    @cached_property
    def expert_lora_facts(self) -> tuple[LoraFacts, ...]:
        """Return the LoRA metadata of each expert's adapter."""
        bases = self.read_experts()
        return tuple(
            self._lora_facts(base, adapter)
            for base, adapter in zip(bases, self.adapters(len(bases)), strict=True)
        )

    @property
    def lora_facts(self) -> LoraFacts:
        """Return the LoRA metadata of the first expert's adapter."""
        return self.expert_lora_facts[0]

    def _lora_facts(self, base: Base, adapter: Path | None) -> LoraFacts:
        known = read_facts(adapter) if adapter is not None else None
        if known is not None:
            return dataclasses.replace(known, base_sha256=base.sha256)
        own = LICENCE if base.autoencoder is not None else base.licence
        licence = self.config.licence or str(self.facts().get("licence", own))
        return LoraFacts(
            base_model=base.name, base_sha256=base.sha256, licence=licence, expert=base.expert
        )

    def identity(self, name: str) -> dict[str, str]:
        """Return the hashes of the weights, under keys that begin with `name`."""
        hashes, every_facts = {}, self.expert_lora_facts
        adapters = self.adapters(len(every_facts))
        for index, (facts, adapter) in enumerate(zip(every_facts, adapters, strict=True)):
            suffix = "" if index == 0 else f"_{index + 1}"
            hashes[f"{name}.base{suffix}"] = facts.base_sha256
            if adapter is not None:
                hashes[f"{name}.adapter{suffix}"] = sha256_of(adapter)
        return hashes


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The networks of a distillation, on torch's default device.

    Attributes:
        student: the network to train.
        adapters: the student's adapters, one for each expert; empty if all weights are trained.
        critic: the critic to train; None without matching.
        teacher: the frozen teacher; None if it is only needed to initialize the others.
        bases: the teacher's base models, one for each expert.
    """

    student: Network
    adapters: tuple[Adapter, ...]
    critic: Network | None
    teacher: Network | None
    bases: tuple[Base, ...]


def open_networks(
    teacher: Teacher,
    start: Teacher,
    recipe: DistillRecipe,
    read_experts: Callable[[Teacher], tuple[Base, ...]] = Teacher.read_experts,
) -> Networks:
    """Return the networks of a recipe on torch's default device; each base is read once."""
    device = torch.get_default_device()
    read: dict[Path, tuple[Base, ...]] = {}

    def bases(source: Teacher) -> tuple[Base, ...]:
        if source.base not in read:
            read[source.base] = read_experts(source)
            for base in read[source.base]:
                prepare(base, weights=recipe.weights, device=device)
        return read[source.base]

    def trained(source: Teacher, trains: Trains, seed: int) -> tuple[Network, tuple[Adapter, ...]]:
        if trains == "weights":
            network = merged_network(source, read_experts(source))
            adapters: tuple[Adapter, ...] = ()
        else:
            network, adapters = adapted_network(bases(source), source, rank=recipe.rank, seed=seed)
        for each in transformers_of(network):
            recompute(each, recipe.recompute)
        return network, adapters

    student, adapters = trained(start, recipe.trains, recipe.seed)
    critic = None
    if recipe.matches:
        critic, _ = trained(teacher, recipe.critic_trains, recipe.seed + 1)
    frozen_teacher = frozen_network(bases(teacher), teacher) if recipe.needs_teacher else None
    return Networks(
        student=student,
        adapters=adapters,
        critic=critic,
        teacher=frozen_teacher,
        bases=bases(teacher),
    )


def merged_network(teacher: Teacher, bases: Sequence[Base]) -> Network:
    """Return a trainable float32 network of the bases, with the teacher's adapters merged.

    The bases must not be used by another network.
    """
    for base, file in zip(bases, teacher.adapters(len(bases)), strict=True):
        if file is not None:
            adapter = _load(file, base.transformer, base)
            adapter.merge()
            adapter.detach()
        prepare(base, weights="fp32", device=torch.get_default_device())
    return joined([base.transformer for base in bases]).requires_grad_(True)


def adapted_network(
    bases: Sequence[Base], teacher: Teacher, *, rank: int, seed: int
) -> tuple[Network, tuple[Adapter, ...]]:
    """Return a network with trainable adapters: the teacher's, or new ones."""
    files = teacher.adapters(len(bases))
    generator = torch.Generator("cpu").manual_seed(seed)
    network = shared_network(bases)
    adapters = [
        attach(each, rank=rank, generator=generator) if file is None else _load(file, each, base)
        for each, file, base in zip(transformers_of(network), files, bases, strict=True)
    ]
    return network, tuple(adapters)


def frozen_network(bases: Sequence[Base], teacher: Teacher) -> Network:
    """Return a frozen network with the teacher's adapters, if any."""
    files = teacher.adapters(len(bases))
    network = shared_network(bases)
    for each, file, base in zip(transformers_of(network), files, bases, strict=True):
        if file is not None:
            _load(file, each, base)
    return network.requires_grad_(False)


def _load(file: Path, transformer: InContextTransformer, base: Base) -> Adapter:
    """Attach a LoRA file after checking that it is for this base and expert."""
    check_adapter(file, base)
    facts = read_facts(file)
    named = facts is not None and facts.expert is not None
    return load(file, transformer, expert=base.expert if named else None)


def shared_network(bases: Sequence[Base]) -> Network:
    """Return a network with modules of its own that share the frozen weights of the bases."""
    networks = []
    for base in bases:
        kept = (*base.transformer.parameters(), *base.transformer.buffers())
        networks.append(copy.deepcopy(base.transformer, {id(each): each for each in kept}))
    return joined(networks)
