"""A dataset of clips that have no frames, for stages that read none."""

import hashlib
import json
from pathlib import Path

from realmaster_live.jobs.worker import Worker
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.manifest import write_clips
from realmaster_live.training.pairs.recipe import FILE
from realmaster_live.training.pairs.stage import Clip
from realmaster_live.training.pairs.work import StageWork
from realmaster_live.training.recipe_tables import to_toml


def trial_clip(name: str) -> Clip:
    return Clip(
        clip_id=name,
        source="/nowhere",
        kind="images",
        first=0,
        frames=5,
        fps=10.0,
        width=16,
        height=16,
        sha256=hashlib.sha256(name.encode()).hexdigest(),
    )


def make_dataset(folder: Path, clips: int = 4, *, run: dict | None = None, **copies) -> Path:
    """Return a dataset of clips c00, c01, … whose stages are trial_stages.copies and .counts."""
    folder.mkdir(parents=True, exist_ok=True)
    write_clips(folder, [trial_clip(f"c{index:02d}") for index in range(clips)])
    copies.setdefault("journal", str(folder / "journal.txt"))
    tables = {
        "run": {"lease_s": 2.0, **(run or {})},
        "trial_stages.copies": json.loads(json.dumps(copies)),
        "trial_stages.counts": {},
    }
    (folder / FILE).write_text(to_toml(tables))
    return folder


def calls(dataset: Path) -> list[str]:
    """Return the clips that `copies` was called for, in order, with repeats."""
    journal = dataset / "journal.txt"
    return (
        [line.split()[0] for line in journal.read_text().splitlines()] if journal.exists() else []
    )


def worker(dataset: Path, stage: str = "copies", *, shard: tuple[int, int] = (0, 1)) -> Worker:
    return Worker(StageWork(Chain(dataset), stage), shard=shard)
