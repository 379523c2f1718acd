"""Import of optional packages; a missing one names the pip command that brings it."""

from __future__ import annotations

import importlib
from typing import Any

from realmaster_live.errors import MissingDependency


def require(module: str, *, extra: str) -> Any:
    """Return the imported `module`; raise MissingDependency naming `realmaster-live[extra]`."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingDependency(
            f"expected the package {module!r}, which is not installed or does not import "
            f"({error}): run pip install 'realmaster-live[{extra}]'"
        ) from error
