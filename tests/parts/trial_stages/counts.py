"""A stage after `copies`: how many bytes the copy has."""

from dataclasses import dataclass
from pathlib import Path

from realmaster_live.training.pairs.stage import Job, StageSpec


@dataclass(frozen=True, kw_only=True)
class CountsConfig:
    unit: str = "bytes"


class Counts:
    def __init__(self, config: CountsConfig) -> None:
        self.spec = StageSpec(
            name="counts",
            version=1,
            suffix=".json",
            after=("copies",),
            parameters={"unit": config.unit},
        )

    def run(self, job: Job, target: Path) -> dict:
        size = job.inputs["copies"].stat().st_size
        target.write_text(f'{{"size": {size}}}')
        return {"size": size}


def make(config: CountsConfig, dataset: Path) -> Counts:
    return Counts(config)
