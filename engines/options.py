"""The options of an engine that do not depend on the pictures."""

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
        precision: Precision of a checkpoint's matrix products. With fp8, only the blocks' linear
            layers are in fp8, and the rest is in bf16. The default is bf16 on a GPU and fp32 on the
            CPU.
        steps: Denoising steps of a chunk. The default is the model's own number.
        compile: Compile a checkpoint's network first, which takes minutes.
        adapter: Use this LoRA file with a checkpoint, at this strength. This may be repeated.
        ignore_unsupported: Load the plain LoRA layers of a file that holds other layers as well.
    """

    device: str | None = None
    precision: Precision | None = None
    steps: int | None = None
    compile: bool = False
    adapter: tuple[tuple[Path, float], ...] = ()
    ignore_unsupported: bool = False

    def __post_init__(self) -> None:
        """Check the number of steps; raises ConfigError."""
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
    """How the model runs, and how it realizes recordings in the quality mode.

    Attributes:
        guidance: Realize whole clips with classifier-free guidance of this scale: 5 is usual, and 1
            uses the prompt alone. This needs a checkpoint and many --steps.
        negative: The prompt that --guidance leads away from. The default is the one called
            negative, or an empty one.
        clip: Frames of a whole clip. The default is 81, or fewer if the footage has fewer.
        autoencoder: The autoencoder in place of the checkpoint's own: wan for Wan's, which is in an
            imported checkpoint; taehv:FILE; or the folder of a checkpoint or of a Wan pipeline.
    """

    guidance: float | None = None
    negative: str | None = None
    clip: int | None = None
    autoencoder: str | None = None
