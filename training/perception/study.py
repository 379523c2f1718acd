"""The options of a perception study."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from realmaster_live.errors import ConfigError

STEPS = 1200


@dataclass(frozen=True, kw_only=True)
class Study:
    """Small networks, trained on rendered, realized and path-traced frames of the same drives.

    Attributes:
        train: Folders of pairs with labels.
        test: Folders of pairs with labels, of other towns.
        real_set: Folders of photographs in the layout of Cityscapes or COCO to test on as well.
        out: Folder for networks, figures and the report.
        engine: What realizes the frames: embedded, identity, or the folder of an exported model, a
            build or a checkpoint.
        seeds: Networks of each kind.
        steps: Training steps of every network.
        tasks: Tasks, such as segmentation. Without it, all.
        variants: Variants to train on, such as sim,real,truth. Without it, all.
        per_clip: Path-traced frames used of each clip.
        cache: Folder for realized frames. Without it, realized in --out.
        threads: Threads of the processor; 0 takes all cores.
    """

    train: tuple[Path, ...]
    test: tuple[Path, ...]
    real_set: tuple[Path, ...] = ()
    out: Path
    engine: str = "embedded"
    seeds: int = 3
    steps: int = STEPS
    tasks: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    per_clip: int = 1
    cache: Path | None = None
    threads: int = 0

    def __post_init__(self) -> None:
        """Check the numbers, once; raises ConfigError."""
        for name in ("seeds", "steps", "per_clip"):
            if getattr(self, name) < 1:
                flag = f"--{name.replace('_', '-')}"
                raise ConfigError(
                    f"expected {flag} of 1 or more, got {getattr(self, name)}: raise it"
                )
        if self.threads < 0:
            raise ConfigError(f"expected --threads of 0 or more, got {self.threads}: 0 takes all")
