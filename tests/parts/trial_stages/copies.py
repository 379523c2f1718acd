"""A stage that writes a line a clip: small enough to be killed at any point."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from realmaster_live.errors import PairError
from realmaster_live.training.pairs.stage import Job, StageSpec


@dataclass(frozen=True, kw_only=True)
class CopiesConfig:
    """Options of the stage; `journal` is a file that hears of every call, and decides nothing."""

    text: str = "copy"
    bytes: int = 100
    wait_s: float = 0.0
    poison: tuple[str, ...] = ()
    crash: tuple[str, ...] = ()
    lose_gpu: tuple[str, ...] = ()
    journal: str = ""
    together: int = 1  # processes that must have called before any goes on


class Copies:
    def __init__(self, config: CopiesConfig) -> None:
        self.config, self.lost_gpu = config, False

    @property
    def spec(self) -> StageSpec:
        parameters = {"text": self.config.text, "bytes": self.config.bytes}
        return StageSpec(name="copies", version=1, suffix=".txt", parameters=parameters)

    def run(self, job: Job, target: Path) -> dict:
        config, name = self.config, job.clip.clip_id
        if config.journal:
            with Path(config.journal).open("a") as file:
                file.write(f"{name} {os.getpid()}\n")
        deadline = time.monotonic() + 60.0
        while config.together > 1 and len(self._callers()) < config.together:
            if time.monotonic() > deadline:
                raise PairError(f"expected {config.together} processes at work, got fewer: wait")
            time.sleep(0.01)
        time.sleep(config.wait_s)
        if name in config.poison:
            raise PairError(f"expected another clip, got {name}: leave it out")
        if name in config.crash:
            os.abort()
        if self.lost_gpu or name in config.lose_gpu:
            self.lost_gpu = True
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        target.write_text(f"{config.text} of {name}\n".ljust(config.bytes, "."))
        return {"attempt": job.attempt}

    def _callers(self) -> set[str]:
        return {line.split()[1] for line in Path(self.config.journal).read_text().splitlines()}


def make(config: CopiesConfig, dataset: Path) -> Copies:
    return Copies(config)
