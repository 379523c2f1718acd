"""The model that ships with the package."""

from __future__ import annotations

from pathlib import Path

EMBEDDED_FOLDER = Path(__file__).parent / "weights" / "embedded"
