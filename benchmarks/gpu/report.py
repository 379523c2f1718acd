"""Writes the rows of the engines' benchmark one by one, in JSON and as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from realmaster_live.engines.onnx_engine import STAGES

COLUMNS = ("profile", "size", "steps", "mode", "reference", *STAGES, "chunk_ms", "fps",
           "fps_without_commit", "tflops", "peak_gb", "note")  # fmt: skip


class Report:
    """The rows so far, written to disk after each one."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        self.folder, self.facts = folder, facts
        self.rows: list[dict[str, Any]] = []
        folder.mkdir(parents=True, exist_ok=True)
        self.write()

    def add(self, row: dict[str, Any]) -> None:
        """Add a row, write everything and print it."""
        self.rows.append(row)
        self.write()
        print(json.dumps(row), flush=True)

    def write(self) -> None:
        """Write both files."""
        data = {"facts": self.facts, "rows": self.rows}
        (self.folder / "engines.json").write_text(json.dumps(data, indent=2) + "\n")
        lines = [f"- {name}: {value}" for name, value in self.facts.items()]
        lines += ["", "Milliseconds are medians of chunks in the steady state.", ""]
        lines += ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
        lines += [
            "| " + " | ".join(shown(row.get(name, "")) for name in COLUMNS) + " |"
            for row in self.rows
        ]
        (self.folder / "engines.md").write_text("\n".join(lines) + "\n")


def shown(value: Any) -> str:
    """Return a cell's text."""
    return f"{value:.2f}" if isinstance(value, float) else str(value).replace("|", "/")


def one_line(error: BaseException) -> str:
    """Return an error's type and the beginning of its text."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
