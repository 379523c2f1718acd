"""LoRA files: safetensors in the three key schemes of Wan's tools, with metadata of our own.

| scheme | key of a block's self-attention query | scale |
| diffusers | `transformer.blocks.0.attn1.to_q.lora_A.weight` | JSON in the header |
| comfyui | `diffusion_model.blocks.0.self_attn.q.lora_A.weight` | `.alpha` tensor |
| musubi | `lora_unet_blocks_0_self_attn_q.lora_down.weight` | `.alpha` tensor |
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn

from realmaster_live.errors import BuildError, ConfigError
from realmaster_live.model.lora import Adapter, LowRank, linear_layers
from realmaster_live.model.lora_config import CONFIG_KEY, alpha_of, read_config
from realmaster_live.system.atomic_files import write_bytes
from realmaster_live.system.contents import what_lies_in
from realmaster_live.system.inside import check_regular, check_utf8

Scheme = Literal["diffusers", "comfyui", "musubi"]
Expert = Literal["high_noise", "low_noise"]
Positions = Literal["shared", "continued"]

PREFIXES: dict[Scheme, str] = {
    "diffusers": "transformer.",
    "comfyui": "diffusion_model.",
    "musubi": "lora_unet_",
}
HALVES: dict[Scheme, tuple[str, str]] = {
    "diffusers": ("lora_A", "lora_B"),
    "comfyui": ("lora_A", "lora_B"),
    "musubi": ("lora_down", "lora_up"),
}
WAN_NAMES = {"ffn.net.0.proj": "ffn.0", "ffn.net.2": "ffn.2"} | {
    f"{attention}.{ours}": f"{original}.{theirs}"
    for attention, original in (("attn1", "self_attn"), ("attn2", "cross_attn"))
    for ours, theirs in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "o"))
}
"""Layers of a block: diffusers' name to the original Wan's."""
OUTSIDE = {
    "proj_out": "head.head",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
}
"""Layers outside the blocks, likewise."""
PEFT = "base_model.model."
PART_OF_LORA = re.compile(r"\.(lora_|alpha$|dora_scale$)")
SPELLINGS = {
    PEFT: "transformer.",
    "lora_unet__": "lora_unet_",
    "blocks.": "transformer.blocks.",
    "condition_embedder.": "transformer.condition_embedder.",
    "proj_out.": "transformer.proj_out.",
}
"""Other beginnings of keys: peft's folders, SwarmUI's, and diffusers' without a prefix."""
KINDS = {
    r"\.(dora_scale|lora_magnitude_vector(\.weight|\.default)?)$": "DoRA scales",
    r"\.lokr_": "LoKr factors",
    r"\.hada_": "LoHa factors",
    r"\.(oft_|boft_)": "OFT rotations",
    r"\.lora_mid\.": "LoCon's middle factors",
    r"\.diff_b$": "changed biases",
    r"\.diff$": "changed weights",
    r"\.(set_weight|set_bias)$": "replaced weights",
    r"\.(on_input|lora_[AB]\.bias|lora_bias)": "IA3 scales or biases of LoRA",
    r"^(lora_te|text_encoder)": "layers of a text encoder",
}
"""What other tools write beside or instead of LoRA's two factors: a pattern of keys to a name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraFacts:
    """A LoRA file's metadata, stored as strings in the safetensors header.

    Attributes:
        base_model: id of the base model.
        base_sha256: hash of the base model's weights; empty if unknown.
        licence: licence of the adapter, as an SPDX id or a name.
        reference_downscale_factor: how many times smaller the reference is than the target.
        positions: whether reference tokens share the target's rotary positions or follow them.
        trigger: words that a prompt must contain; empty for none.
        expert: the expert of Wan2.2-A14B that it is for; None for single models.
    """

    base_model: str
    base_sha256: str = ""
    licence: str
    reference_downscale_factor: int = 1
    positions: Positions = "shared"
    trigger: str = ""
    expert: Expert | None = None

    def __post_init__(self) -> None:
        if self.reference_downscale_factor < 1:
            raise ConfigError(
                "expected reference_downscale_factor of at least 1, got "
                f"{self.reference_downscale_factor}: give 1 for a reference as large as the target"
            )
        if self.positions not in get_args(Positions):
            raise ConfigError(
                f"expected positions among {get_args(Positions)}, got {self.positions!r}: "
                "give shared unless the reference follows the target"
            )
        if self.expert is not None and self.expert not in get_args(Expert):
            raise ConfigError(
                f"expected expert among {get_args(Expert)}, got {self.expert!r}: "
                "leave it out for a model of one expert"
            )

    def header(self) -> dict[str, str]:
        """Return the fields as safetensors metadata; None values are left out."""
        fields = dataclasses.asdict(self)
        return {name: str(value) for name, value in fields.items() if value is not None}

    @classmethod
    def from_header(cls, header: dict[str, str]) -> LoraFacts | None:
        """Return the fields that `header` wrote, or None if another tool wrote the file."""
        if "base_model" not in header or "licence" not in header:
            return None
        names = {field.name for field in dataclasses.fields(cls)}
        fields: dict[str, Any] = {name: header[name] for name in names & header.keys()}
        if "reference_downscale_factor" in fields:
            fields["reference_downscale_factor"] = int(fields["reference_downscale_factor"])
        return cls(**fields)


def save(path: Path, adapter: Adapter, *, scheme: Scheme, facts: LoraFacts) -> None:
    """Write an adapter's file atomically.

    The strength is not written: it belongs to the run.

    Raises:
        ConfigError: the scheme is unknown, or has no name for one of the adapted layers.
        BuildError: a weight is not finite.
    """
    if scheme not in PREFIXES:
        raise ConfigError(
            f"expected a scheme among {tuple(PREFIXES)}, got {scheme!r}: "
            "take the one that your other tools read"
        )
    tensors: dict[str, Tensor] = {}
    down, up = HALVES[scheme]
    for name, low_rank in adapter.low_ranks.items():
        stem = _stem(name, scheme)
        if stem is None:
            raise ConfigError(
                f"expected layers among {tuple(WAN_NAMES)} in blocks, got {name}: "
                "save it in the diffusers scheme"
            )
        tensors[f"{stem}.{down}.weight"] = low_rank.down.detach().cpu().contiguous()
        tensors[f"{stem}.{up}.weight"] = low_rank.up.detach().cpu().contiguous()
        if scheme != "diffusers":
            tensors[f"{stem}.alpha"] = torch.tensor(low_rank.alpha)
    _check_finite(tensors, source=f"the adapter for {path.name}")
    header = {"format": "pt", **facts.header()}
    if scheme == "diffusers":
        header[CONFIG_KEY] = json.dumps(_peft_config(adapter), indent=2, sort_keys=True)
    write_bytes(path, _sorted_header(serialize(tensors, metadata=header)))


def read_facts(path: Path) -> LoraFacts | None:
    """Return a LoRA file's metadata; None if another tool wrote it."""
    return _facts(path, _read(path)[1])


def load(
    path: Path,
    module: nn.Module,
    *,
    base_sha256: str | None = None,
    expert: Expert | None = None,
) -> Adapter:
    """Attach the adapter of a LoRA file, in any of the schemes, to a module.

    Args:
        path: a safetensors file.
        module: the transformer; changed in place once the whole file is known to fit.
        base_sha256: when given, the file must have been trained on these weights.
        expert: when given, the file must be for this expert.

    Raises:
        BuildError: the file is damaged, does not fit the module, or is for another base model.
    """
    tensors, header = _read(path)
    facts = _facts(path, header)
    for name, wanted in (("base_sha256", base_sha256), ("expert", expert)):
        got = getattr(facts, name, None) or None
        if wanted is not None and got != wanted:
            raise BuildError(
                f"expected a LoRA file with {name} {wanted}, got {path} with {got}: "
                f"give the file that belongs to it, or leave {name} out to skip this check"
            )
    peft = any(key.startswith(PEFT) for key in tensors)
    tensors = {_renamed(key): tensor for key, tensor in tensors.items()}
    scheme = _scheme(path, tensors)
    _check_finite(tensors, source=str(path))
    config = read_config(path, header, peft=peft) if scheme == "diffusers" else {}
    low_ranks: dict[str, LowRank] = {}
    wrong: list[str] = []
    left = dict(tensors)
    for name, layer in linear_layers(module).items():
        stem = _stem(name, scheme)
        if stem is None:
            continue
        down, up = (
            left.pop(f"{stem}.{new}.weight", left.pop(f"{stem}.{old}.weight", None))
            for new, old in (("lora_A", "lora_down"), ("lora_B", "lora_up"))
        )
        alpha = left.pop(f"{stem}.alpha", None)
        down, up = (_as_matrix(half) for half in (down, up))
        if down is None and up is None and alpha is None:
            continue
        if down is None or up is None:
            wrong.append(f"{stem} has no {'lora_A' if down is None else 'lora_B'}")
        elif alpha is not None and alpha.numel() != 1:
            wrong.append(f"{stem} alpha {tuple(alpha.shape)} != ()")
        elif down.ndim != 2 or down.numel() == 0 or up.shape != (layer.out_features, down.shape[0]):
            want = (layer.out_features, down.shape[0])
            wrong.append(f"{stem} lora_B {tuple(up.shape)} != {want}")
        elif down.shape[1] != layer.in_features:
            want = (down.shape[0], layer.in_features)
            wrong.append(f"{stem} lora_A {tuple(down.shape)} != {want}")
        else:
            rank = down.shape[0]
            scale = alpha_of(path, config, name, rank) if alpha is None else float(alpha)
            low_ranks[name] = LowRank(down.float(), up.float(), alpha=scale)
    _check_kind(path, left, config)
    wrong += [f"{key} unknown" for key in sorted(left)]
    if wrong:
        base = f" for {facts.base_model}" if facts else ""
        raise BuildError(
            f"expected the layers of {type(module).__name__}, got {path}{base} with {len(wrong)} "
            f"that differ ({'; '.join(wrong[:3])}): use the LoRA with the model it was trained on"
        )
    return Adapter(module, low_ranks)


def _stem(name: str, scheme: Scheme) -> str | None:
    """Return the prefix of a layer's keys; None if the scheme has no name for the layer."""
    if scheme == "diffusers":
        return PREFIXES[scheme] + name
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if match is None:
        wan = OUTSIDE.get(name)
    else:
        wan = f"blocks.{match[1]}.{WAN_NAMES[match[2]]}" if match[2] in WAN_NAMES else None
    if wan is None:
        return None
    return PREFIXES[scheme] + (wan.replace(".", "_") if scheme == "musubi" else wan)


def _scheme(path: Path, tensors: dict[str, Tensor]) -> Scheme:
    """Infer the scheme from the keys."""
    for scheme, prefix in PREFIXES.items():
        if any(key.startswith(prefix) for key in tensors):
            return scheme
    _check_kind(path, tensors, {})
    raise BuildError(
        f"expected keys that begin with one of {tuple(PREFIXES.values())}, got {path} with "
        f"{', '.join(sorted(tensors)[:3]) or 'no tensors'}: save the LoRA in one of the schemes "
        f"{tuple(PREFIXES)}"
    )


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return a file's tensors and its header."""
    check_regular(path, error=BuildError)
    check_utf8(path, error=BuildError)
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, ValueError, SafetensorError) as error:
        got, remedy = what_lies_in(path, str(error), "save the LoRA as safetensors")
        raise BuildError(f"expected a safetensors file at {path}, got {got}: {remedy}") from error


def _sorted_header(data: bytes) -> bytes:
    """Return a safetensors file with sorted metadata, so that equal adapters have equal hashes.

    The library writes metadata in varying order; offsets count from the header's end.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    text = json.dumps(json.loads(data[8:end]), sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[end:]


def _facts(path: Path, header: dict[str, str]) -> LoraFacts | None:
    try:
        return LoraFacts.from_header(header)
    except ValueError as error:
        raise BuildError(
            f"expected readable facts in the header of {path}, got {error}: save the LoRA again"
        ) from error


def _check_finite(tensors: dict[str, Tensor], *, source: str) -> None:
    for key, tensor in tensors.items():
        if tensor.is_complex() or tensor.dtype == torch.bool:
            raise BuildError(
                f"expected real numbers, got {tensor.dtype} in {key} of {source}: save it again"
            )
        if not tensor.float().isfinite().all():
            raise BuildError(
                f"expected finite weights, got NaN or infinity in {key} of {source}: "
                "go back to a checkpoint from before the training diverged"
            )


def _renamed(key: str) -> str:
    """Return a key with its beginning as one of PREFIXES."""
    if PART_OF_LORA.search(key) is None:
        return key  # of a whole model, for example
    for other, ours in SPELLINGS.items():
        if key.startswith(other):
            return ours + key.removeprefix(other)
    return key


def _as_matrix(half: Tensor | None) -> Tensor | None:
    """Return a factor of a convolution of one pixel as that of a linear layer."""
    if half is not None and half.ndim > 2 and half.shape[2:].numel() == 1:
        return half.flatten(1)
    return half


def _check_kind(path: Path, left: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Refuse what is more than LoRA, by its name."""
    found = {"DoRA scales": CONFIG_KEY} if config.get("use_dora") else {}
    for pattern, kind in KINDS.items():
        key = next((key for key in sorted(left) if re.search(pattern, key)), None)
        if key is not None:
            found.setdefault(kind, key)
    if found:
        kinds = " and ".join(found)
        raise BuildError(
            f"expected a LoRA of two factors a layer, got {path} with {kinds} (such as "
            f"{next(iter(found.values()))}), which are not supported: train or convert it as plain "
            "LoRA, or merge it into the model"
        )


def _peft_config(adapter: Adapter) -> dict[str, Any]:
    """Return the header's configuration, from which diffusers builds its LoraConfig."""
    first = next(iter(adapter.low_ranks.values()))
    layers = adapter.low_ranks.items()
    config = {
        "peft_type": "LORA",
        "r": first.rank,
        "lora_alpha": first.alpha,
        "rank_pattern": {name: each.rank for name, each in layers if each.rank != first.rank},
        "alpha_pattern": {name: each.alpha for name, each in layers if each.alpha != first.alpha},
        "target_modules": list(adapter.low_ranks),
    }
    return {f"transformer.{key}": value for key, value in config.items()}
