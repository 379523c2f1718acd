"""What an evaluation of several looks keeps of each: a run that was stopped goes on with the next.

A look's folder holds its evaluation's figures, and the film and the sliders that the page shows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realmaster_live.system.atomic_files import write_json
from realmaster_live.training.evaluate.drives.run import Evaluation
from realmaster_live.training.evaluate.drives.shown import Shown, film, wipes
from realmaster_live.training.evaluate.drives.summary import Figure, Value

FILE = "look.json"
WIPES = 2  # of each look on the page
NAN = float("nan")


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look, measured.

    Attributes:
        facts: of `Evaluation.facts`. shown: its film and sliders, HTML.
    """

    facts: Mapping[str, Any]
    shown: str

    @classmethod
    def of(cls, evaluation: Evaluation, shown: Shown) -> Look:
        """Return what is kept of an evaluation."""
        return cls(facts=evaluation.facts(), shown=film(shown) + wipes(shown, WIPES))

    def value(self, method: str, figure: Figure) -> Value | None:
        """Return a method's value of a figure; None where it has none."""
        found = self.facts["methods"].get(method, {}).get(figure.name)
        if found is None:
            return None
        against = found["minus_render_95"]
        return Value(
            value=found["value"],
            interval=tuple(found["interval_95"] or (NAN, NAN)),
            against=found["minus_render"],
            against_interval=None if against is None else tuple(against),
            films=found["films"],
            spread=found["spread"],
        )

    def save(self, folder: Path, key: Mapping[str, Any]) -> None:
        """Keep it; `key` is all that it was made from."""
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / FILE, {"key": key, "facts": self.facts, "shown": self.shown})


def read_look(folder: Path, key: Mapping[str, Any]) -> Look | None:
    """Return what was kept in a folder; None where nothing was, or of something else."""
    path = folder / FILE
    if not path.is_file():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    if kept["key"] != json.loads(json.dumps(key)):
        return None
    return Look(facts=kept["facts"], shown=kept["shown"])
