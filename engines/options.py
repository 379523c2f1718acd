"""How a model is to run: the options of an engine that do not depend on the pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from realmaster_live.errors import ConfigError

Precision = Literal["fp32", "bf16", "fp8"]
MOST_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How the model runs.

    Attributes:
        device: Where it runs: cpu, cuda or cuda:N. Without it, a checkpoint and a build run on the
            GPU if there is one, and an export on the CPU.
        precision: Precision of a checkpoint's products; fp8 is of the blocks' linear layers, and
            the rest is bf16. Without it, bf16 on a GPU and fp32 on the CPU.
        steps: Denoising steps of a chunk. Without it, the model's own.
        compile: Compile a checkpoint's network first, which takes minutes.
        adapter: Use this LoRA file with a checkpoint, at this strength. This may be repeated.
        ignore_unsupported: Load the plain LoRA layers of a file that holds other things as well.
    """

    device: str | None = None
    precision: Precision | None = None
    steps: int | None = None
    compile: bool = False
    adapter: tuple[tuple[Path, float], ...] = ()
    ignore_unsupported: bool = False

    def __post_init__(self) -> None:
        """Check the values, once; raises ConfigError."""
        if self.steps is not None and not 1 <= self.steps <= MOST_STEPS:
            raise ConfigError(
                f"expected --steps from 1 to {MOST_STEPS}, got {self.steps}: choose such a number"
            )

    def given(self) -> dict[str, Any]:
        """Return the options that differ from their defaults, by name, as plain values."""
        plain = asdict(type(self)())
        return {name: value for name, value in asdict(self).items() if value != plain[name]}


@dataclass(frozen=True, kw_only=True)
class QualityOptions(EngineOptions):
    """How the model runs, and how carefully it realizes recordings.

    Attributes:
        guidance: Realize whole clips, each pass with the prompt and without it, and this far from
            the one to the other: 5 is usual, 1 is the prompt alone. This takes a checkpoint, and
            many --steps.
        negative: The prompt that --guidance leads away from. Without it, the one called negative,
            or an empty one.
        clip: Frames of a whole clip. Without it, 81, or what the footage has.
        autoencoder: The autoencoder in place of the checkpoint's own: wan, Wan's, which an imported
            checkpoint keeps; taehv:FILE; or the folder of a checkpoint or a Wan pipeline.
    """

    guidance: float | None = None
    negative: str | None = None
    clip: int | None = None
    autoencoder: str | None = None
