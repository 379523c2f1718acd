"""The verdicts of a dataset in one table, and how its metrics relate to the limits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from realmaster_live.errors import PairError
from realmaster_live.optional import require
from realmaster_live.system.records import read_record
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.manifest import write_table
from realmaster_live.training.pairs.rules import RULES, Limit, Verdict

pa = require("pyarrow", extra="training")

QUANTILES = (0.0, 0.02, 0.1, 0.5, 0.9, 0.98, 1.0)


def read_verdict(path: Path) -> Verdict:
    """Return the verdict that the gate wrote."""
    remedy = "delete it and run the stage gate again"
    return read_record(path, Verdict, what="a verdict", remedy=remedy, error=PairError)


def read_verdicts(dataset: Path) -> dict[str, Verdict]:
    """Return clip_id -> verdict under the dataset's recipe, in the order of the plan."""
    return {clip_id: read_verdict(p) for clip_id, p in Chain(dataset).finished("gate").items()}


def write_verdicts(dataset: Path) -> Path:
    """Replace verdicts/part-0.parquet by the verdicts of now: one row a clip, one column a figure.

    Columns: clip_id, passed, weight, failed, reasons, and every figure (null where there is none).
    """
    verdicts = read_verdicts(dataset)
    names = sorted({name for verdict in verdicts.values() for name in verdict.metrics})
    schema = pa.schema(
        [
            ("clip_id", pa.string()),
            ("passed", pa.bool_()),
            ("weight", pa.float64()),
            ("failed", pa.list_(pa.string())),
            ("reasons", pa.list_(pa.string())),
            *((name, pa.float64()) for name in names),
        ]
    )
    rows = [
        {
            "clip_id": clip_id,
            "passed": verdict.passed,
            "weight": verdict.weight,
            "failed": list(verdict.failed),
            "reasons": list(verdict.reasons),
        }
        | {name: verdict.metrics.get(name) for name in names}
        for clip_id, verdict in verdicts.items()
    ]
    path = dataset / "verdicts" / "part-0.parquet"
    write_table(path, pa.Table.from_pylist(rows, schema=schema))
    return path


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Quantiles of a dataset's metrics beside the limits.

    Attributes:
        clips: with a verdict. passed: of them.
        quantiles: figure -> its values at QUANTILES.
        limits: key of a rule -> limit or False. rejected: key of a rule -> clips that broke it.
    """

    clips: int
    passed: int
    quantiles: dict[str, tuple[float, ...]]
    limits: dict[str, Limit]
    rejected: dict[str, int]

    def lines(self) -> list[str]:
        """Return it for the terminal."""
        heads = "".join(f"{f'{100 * q:g} %':>9}" for q in QUANTILES)
        lines = [f"{self.passed} of {self.clips} clips passed", f"{'':20}{heads}  limit"]
        by_metric = {rule.metric: rule.key for rule in RULES}
        for name, values in self.quantiles.items():
            figures = "".join(f"{value:9.4g}" for value in values)
            key = by_metric.get(name)
            limit = ""
            if key is not None:
                value = self.limits[key]
                limit = f"{key} = {'false' if value is False else f'{value:g}'}"
                limit += f", {self.rejected[key]} clips fail" if self.rejected[key] else ""
            lines.append(f"{name:20}{figures}  {limit}".rstrip())
        return lines


def calibrate(dataset: Path) -> Calibration:
    """Return the quantiles of every figure over the clips of a dataset, and what each rule rejects.

    Raises:
        PairError: the gate has judged no clip yet.
    """
    verdicts = list(read_verdicts(dataset).values())
    if not verdicts:
        raise PairError(
            f"expected verdicts in {dataset}, got none: run realmaster pairs gate {dataset}"
        )
    limits = Chain(dataset).recipe.config("gate").limits
    names = dict.fromkeys(name for verdict in verdicts for name in verdict.metrics)
    quantiles = {}
    for name in names:
        values = [v.metrics[name] for v in verdicts if name in v.metrics]
        quantiles[name] = tuple(float(x) for x in np.quantile(values, QUANTILES))
    return Calibration(
        clips=len(verdicts),
        passed=sum(verdict.passed for verdict in verdicts),
        quantiles=quantiles,
        limits=limits,
        rejected={rule.key: sum(rule.key in v.failed for v in verdicts) for rule in RULES},
    )
