"""LoRA files: safetensors with the key names of Wan's tools, and our metadata in the header."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn

from realmaster_live.errors import BuildError, ConfigError
from realmaster_live.model.lora import Adapter, LowRank, linear_layers
from realmaster_live.model.lora_config import CONFIG_KEY, alpha_of, read_config
from realmaster_live.model.lora_facts import Expert, LoraFacts, check_reference, facts_of
from realmaster_live.model.lora_keys import (
    HALVES,
    PEFT,
    PREFIXES,
    WAN_NAMES,
    Part,
    Scheme,
    check_scheme,
    listed,
    read_key,
    spellings,
    stem_of,
    unsupported,
)
from realmaster_live.system.atomic_files import write_bytes
from realmaster_live.system.contents import classify_file
from realmaster_live.system.inside import check_regular, check_utf8

logger = logging.getLogger(__name__)


def save(path: Path, adapter: Adapter, *, scheme: Scheme, facts: LoraFacts) -> None:
    """Write an adapter's file atomically.

    The strength is not written, because it belongs to a run.

    Raises:
        ConfigError: the scheme is unknown, or has no name for one of the adapted layers.
        BuildError: a weight is not finite.
    """
    check_scheme(scheme)
    tensors: dict[str, Tensor] = {}
    down, up = HALVES[scheme]
    for name, low_rank in adapter.low_ranks.items():
        stem = stem_of(name, scheme)
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
    return facts_of(path, _read(path)[1])


def load(
    path: Path,
    module: nn.Module,
    *,
    base_sha256: str | None = None,
    expert: Expert | None = None,
    ignore_unsupported: bool = False,
) -> Adapter:
    """Attach the adapter of a LoRA file, in any of the schemes, to a module.

    Args:
        path: a safetensors file.
        module: the transformer; changed in place once the whole file is known to fit.
        base_sha256: when given, the file must have been trained on these weights.
        expert: when given, the file must be for this expert.
        ignore_unsupported: load the plain LoRA layers of a file that holds other things as well;
            what is left out is logged.

    Raises:
        BuildError: the file is damaged, does not fit the module, is for another base model, or has
            a layout of the reference that no engine supports.
    """
    tensors, header = _read(path)
    facts = facts_of(path, header)
    for name, wanted in (("base_sha256", base_sha256), ("expert", expert)):
        got = getattr(facts, name, None) or None
        if wanted is not None and got != wanted:
            raise BuildError(
                f"expected a LoRA file with {name} {wanted}, got {path} with {got}: "
                f"give the file that belongs to it, or leave {name} out to skip this check"
            )
    check_reference(path, header)
    _check_finite(tensors, source=str(path))
    own_scale = any(key.endswith(".alpha") for key in tensors)
    peft = not own_scale and any(key.startswith(PEFT) for key in tensors)
    config = read_config(path, header, peft=peft)
    _leave_out(path, tensors, config, ignore=ignore_unsupported)
    if not any(map(read_key, tensors)):
        raise BuildError(
            f"expected keys such as {PREFIXES['diffusers']}blocks.0.attn1.to_q.lora_A.weight, got "
            f"{path} with {', '.join(sorted(tensors)[:3]) or 'no tensors'}: save the LoRA in one "
            f"of the schemes {tuple(PREFIXES)}"
        )
    linears = linear_layers(module)
    known = spellings(linears)
    parts: dict[str, dict[Part, Tensor]] = {}
    wrong: list[str] = []
    for key, tensor in sorted(tensors.items()):
        found = read_key(key)
        if found is None or found[0] not in known:
            wrong.append(f"{key} unknown")
        else:
            parts.setdefault(known[found[0]], {})[found[1]] = _as_matrix(tensor)
    low_ranks: dict[str, LowRank] = {}
    for name in linears:
        if name not in parts:
            continue
        problem = _problem(parts[name], linears[name])
        if problem:
            wrong.append(f"{name} {problem}")
            continue
        down, up = (parts[name][half].float() for half in ("down", "up"))
        alpha = parts[name].get("alpha")
        scale = alpha_of(path, config, name, len(down)) if alpha is None else float(alpha)
        low_ranks[name] = LowRank(down, up, alpha=scale)
    if wrong:
        base = f" for {facts.base_model}" if facts else ""
        raise BuildError(
            f"expected the layers of {type(module).__name__}, got {path}{base} with {len(wrong)} "
            f"that differ ({'; '.join(wrong[:3])}): use the LoRA with the model it was trained on"
        )
    return Adapter(module, low_ranks)


def _problem(parts: Mapping[Part, Tensor], layer: nn.Linear) -> str:
    """Return what is wrong with a layer's parts, or an empty text."""
    down, up, alpha = parts.get("down"), parts.get("up"), parts.get("alpha")
    if down is None or up is None:
        return f"has no {'lora_A' if down is None else 'lora_B'}"
    if alpha is not None and alpha.numel() != 1:
        return f"alpha {tuple(alpha.shape)} != ()"
    if down.ndim != 2 or down.numel() == 0 or up.shape != (layer.out_features, down.shape[0]):
        return f"lora_B {tuple(up.shape)} != {(layer.out_features, down.shape[0])}"
    if down.shape[1] != layer.in_features:
        return f"lora_A {tuple(down.shape)} != {(down.shape[0], layer.in_features)}"
    return ""


def _leave_out(
    path: Path, tensors: dict[str, Tensor], config: Mapping[str, Any], *, ignore: bool
) -> None:
    """Remove everything that is not plain LoRA; raise BuildError for it unless `ignore`."""
    found = unsupported(tensors)
    if config.get("use_dora"):
        found.setdefault("DoRA scales", [CONFIG_KEY])
    if not found:
        return
    if not ignore:
        raise BuildError(
            f"expected a LoRA of two factors a layer, got {path} with {listed(found)}, which are "
            "not supported: train or convert it as plain LoRA, or load the rest alone with "
            "--ignore-unsupported (ignore_unsupported=True)"
        )
    for keys in found.values():
        for key in keys:
            tensors.pop(key, None)
    logger.warning("left out of %s: %s", path, listed(found))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return a file's tensors and its metadata."""
    check_regular(path, error=BuildError)
    check_utf8(path, error=BuildError)
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (OSError, ValueError, SafetensorError) as error:
        got, remedy = classify_file(path, str(error), "save the LoRA as safetensors")
        raise BuildError(f"expected a safetensors file at {path}, got {got}: {remedy}") from error


def _sorted_header(data: bytes) -> bytes:
    """Return a safetensors file with sorted metadata, so that equal adapters have equal hashes.

    The library writes metadata in varying order; offsets count from the header's end.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    text = json.dumps(json.loads(data[8:end]), sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[end:]


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


def _as_matrix(half: Tensor) -> Tensor:
    """Return a factor of a 1 x 1 convolution as a matrix."""
    if half.ndim > 2 and half.shape[2:].numel() == 1:
        return half.flatten(1)
    return half


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
