"""The names that tools give to a LoRA's layers, and to what they store besides LoRA.

| scheme | key of a block's self-attention query | scale |
| diffusers | `transformer.blocks.0.attn1.to_q.lora_A.weight` | JSON in the header |
| comfyui | `diffusion_model.blocks.0.self_attn.q.lora_A.weight` | `.alpha` tensor |
| musubi | `lora_unet_blocks_0_self_attn_q.lora_down.weight` | `.alpha` tensor |

Files are written in one of these schemes. When reading, any prefix is accepted with any of the
three spellings of a layer, so the keys of peft, DiffSynth and SwarmUI are read too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from realmaster_live.errors import ConfigError

Scheme = Literal["diffusers", "comfyui", "musubi"]
Part = Literal["down", "up", "alpha"]

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
PEFT = "base_model.model."
KEY_PREFIXES = (  # in the order in which tools combine them
    *(PEFT, "pipe.dit.", "model.diffusion_model.", *PREFIXES.values(), "_"),
)
KEY_SUFFIX = re.compile(r"(?P<layer>.+)\.(?P<part>lora_A|lora_B|lora_down|lora_up)(\.\w+)?\.weight")
PARTS: dict[str, Part] = {"lora_A": "down", "lora_down": "down", "lora_B": "up", "lora_up": "up"}

WAN_NAMES = {"ffn.net.0.proj": "ffn.0", "ffn.net.2": "ffn.2"} | {
    f"{attention}.{ours}": f"{original}.{theirs}"
    for attention, original in (("attn1", "self_attn"), ("attn2", "cross_attn"))
    for ours, theirs in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "o"))
}
"""Layers of a block: diffusers' name to the original Wan's."""
OUTER_NAMES = {
    "proj_out": "head.head",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
}
"""Layers outside the blocks, likewise."""
UNSUPPORTED = {
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
    r"[._](k_img|v_img|add_k_proj|add_v_proj|img_emb|image_embedder)[._]": "layers for a picture",
}
"""What other tools store beside or instead of LoRA's factors: pattern of keys -> description."""


def check_scheme(scheme: str) -> None:
    """Raise ConfigError for an unknown scheme."""
    if scheme not in get_args(Scheme):
        raise ConfigError(
            f"expected a scheme among {tuple(PREFIXES)}, got {scheme!r}: "
            "take the one that your other tools read"
        )


def stem_of(name: str, scheme: Scheme) -> str | None:
    """Return the common beginning of a layer's keys; None if the scheme has no name for it."""
    if scheme == "diffusers":
        return PREFIXES[scheme] + name
    original = original_name(name)
    if original is None:
        return None
    return PREFIXES[scheme] + (original.replace(".", "_") if scheme == "musubi" else original)


def original_name(name: str) -> str | None:
    """Return the original Wan's name of the layer that diffusers calls `name`, or None."""
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if match is None:
        return OUTER_NAMES.get(name)
    return f"blocks.{match[1]}.{WAN_NAMES[match[2]]}" if match[2] in WAN_NAMES else None


def spellings(names: Iterable[str]) -> dict[str, str]:
    """Return spelling -> layer for every spelling of some layers, without prefixes."""
    found = {}
    for name in names:
        for spelling in filter(None, (name, original_name(name))):
            found[spelling] = found[spelling.replace(".", "_")] = name
    return found


def read_key(key: str) -> tuple[str, Part] | None:
    """Return a key's layer without prefixes, and its part of it; None for other keys."""
    match = KEY_SUFFIX.fullmatch(key)
    layer, part = (match["layer"], PARTS[match["part"]]) if match is not None else ("", "alpha")
    if match is None:
        if not key.endswith(".alpha"):
            return None
        layer = key.removesuffix(".alpha")
    for beginning in KEY_PREFIXES:
        layer = layer.removeprefix(beginning)
    return layer, part


def unsupported(keys: Iterable[str]) -> dict[str, list[str]]:
    """Return description -> keys, for keys that do not belong to a plain LoRA."""
    found: dict[str, list[str]] = {}
    for key in sorted(keys):
        kind = next((name for pattern, name in UNSUPPORTED.items() if re.search(pattern, key)), "")
        if kind:
            found.setdefault(kind, []).append(key)
    return found


def listed(kinds: Mapping[str, list[str]]) -> str:
    """Return text such as `DoRA scales and changed biases (such as KEY)`."""
    first = next(iter(kinds.values()))[0]
    return f"{' and '.join(kinds)} (such as {first})"
