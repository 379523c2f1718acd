"""LoRA files for the torch engine: assigns them to experts, and merges several into one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from realmaster_live.errors import EngineError
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.lora import Adapter, LowRank
from realmaster_live.model.lora_facts import EXPERTS, LoraFacts, check_base
from realmaster_live.model.profile import Profile

Adapters = Sequence[tuple[Path | str, float]]  # files and their strengths


def expert_of(path: Path, facts: LoraFacts | None, profile: Profile) -> int:
    """Return the index of the expert that a LoRA file is for, by its header or its name.

    Raises:
        EngineError: the profile has two experts and neither header nor name states one, or the
            profile has one expert and the file is for one of two.
    """
    expert = facts.expert if facts is not None else None
    if profile.experts == 1:
        if expert is not None:
            raise EngineError(
                f"expected a LoRA for {profile.name}, which has one expert, got {path} for the "
                f"expert {expert}: use it with wan-a14b"
            )
        return 0
    name = path.stem.lower().replace("-", "_")
    named = [each for each in EXPERTS if each in name or each.partition("_")[0] in name.split("_")]
    if expert is None and len(named) == 1:
        expert = named[0]
    if expert is None:
        raise EngineError(
            f"expected a LoRA that names its expert of {profile.name} in its header or file name, "
            f"got {path}: put {EXPERTS[0]} or {EXPERTS[1]} into the name"
        )
    return EXPERTS.index(expert)


def attach_files(
    transformers: Sequence[InContextTransformer],
    adapters: Adapters,
    *,
    base_hashes: Callable[[int], Sequence[str]] | None = None,
    ignore_unsupported: bool = False,
) -> list[Adapter | None]:
    """Attach LoRA files to the experts that they are for; return each expert's adapter.

    Several files for one expert become one adapter, the sum of their products at their strengths.

    Args:
        transformers: one for each expert.
        adapters: files and strengths.
        base_hashes: returns the hashes of an expert's weights. If a file names its base, it must
            name one of them.
        ignore_unsupported: load only the plain LoRA layers of files that hold other things too.

    Raises:
        EngineError: there are two experts, and a file names none.
        BuildError: a file is damaged, does not fit, or is for other weights.
    """
    from realmaster_live.model.lora_files import load, read_facts  # which need safetensors

    profile = transformers[0].profile
    found: list[dict[str, list[LowRank]]] = [{} for _ in transformers]
    for file, strength in adapters:
        path = Path(file)
        facts = read_facts(path)
        place = expert_of(path, facts, profile)
        if base_hashes is not None and facts is not None and facts.base_sha256:
            hashes = base_hashes(place)
            if facts.base_sha256 not in hashes:
                check_base(path, facts, hashes[0])
        adapter = load(path, transformers[place], ignore_unsupported=ignore_unsupported)
        adapter.detach()
        for name, low_rank in adapter.low_ranks.items():
            low_rank.strength = strength
            found[place].setdefault(name, []).append(low_rank)
    return [
        Adapter(transformer, {name: summed(parts) for name, parts in layers.items()})
        if layers
        else None
        for transformer, layers in zip(transformers, found, strict=True)
    ]


@torch.no_grad()
def summed(parts: Sequence[LowRank]) -> LowRank:
    """Return the sum of several products at their strengths, as one product."""
    if len(parts) == 1 and parts[0].strength == 1.0:
        return parts[0]
    down = torch.cat([part.down for part in parts])
    up = torch.cat([part.up * part.factor for part in parts], 1)
    return LowRank(down, up, alpha=float(len(down)))


def why_fixed(adapters: Sequence[Adapter], precision: str) -> str:
    """Return why the strength of an engine's adapters cannot be set; "" if it can."""
    if precision == "fp8":
        return (
            "expected precision bf16 or fp32 to set a strength, got fp8, whose weights hold the "
            "adapters: make the engine again with another strength"
        )
    if not adapters:
        return (
            "expected an engine with an adapter to set a strength, got none: make the engine with "
            "an adapter"
        )
    return ""
