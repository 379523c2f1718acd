"""A LoRA file's metadata: base model, licence, and the layout of its reference."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from realmaster_live.errors import BuildError, ConfigError

Expert = Literal["high_noise", "low_noise"]
EXPERTS: tuple[Expert, Expert] = ("high_noise", "low_noise")  # in the order of a checkpoint
Positions = Literal["shared", "continued"]


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
        expert: the expert of Wan2.2-A14B that the LoRA is for; None for models with one expert.
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
        if self.expert is not None and self.expert not in EXPERTS:
            raise ConfigError(
                f"expected expert among {EXPERTS}, got {self.expert!r}: "
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


def facts_of(path: Path, header: dict[str, str]) -> LoraFacts | None:
    """Return the facts in a file's header, or None; BuildError if they cannot be read."""
    try:
        return LoraFacts.from_header(header)
    except ValueError as error:
        got = " ".join(str(error).split())
        raise BuildError(
            f"expected readable facts in the header of {path}, got {got}: save the LoRA again"
        ) from error


def check_reference(path: Path, header: dict[str, str]) -> None:
    """Raise BuildError for a LoRA whose reference has a layout that no engine supports.

    Other trainers, such as LTX-2's, write the same two keys into their headers.
    """
    scale = header.get("reference_downscale_factor", "1")
    if scale != "1":
        raise BuildError(
            f"expected a LoRA whose reference is as large as the picture, got {path} with "
            f"reference_downscale_factor {scale[:20]!r}: train it with a reference of full size"
        )
    positions = header.get("positions", "shared")
    if positions != "shared":
        raise BuildError(
            "expected a LoRA whose reference shares the picture's positions, got "
            f"{path} with positions {positions[:20]!r}: train it with shared positions"
        )


def check_base(path: Path, facts: LoraFacts | None, base_sha256: str) -> None:
    """Raise BuildError for a LoRA that names other base weights than these."""
    if facts is not None and facts.base_sha256 and facts.base_sha256 != base_sha256:
        raise BuildError(
            f"expected the weights that {path} was trained on, of {facts.base_model} with "
            f"sha256 {facts.base_sha256[:12]}, got {base_sha256[:12]}: give that base model"
        )
