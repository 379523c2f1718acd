"""Runs at the start of every Python of a program under `realmaster inject`.

It waits for the import of carla, which costs nothing else before, and also runs the sitecustomize
that it hides. It never keeps a program from running.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).resolve().parent


class _Watcher(MetaPathFinder):
    """Has carla patched when it is imported, and is gone from then on."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "carla":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _PatchingLoader(spec.loader)
        return spec


class _PatchingLoader(Loader):
    """Loads carla as its own loader does, then patches it."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        try:
            from realmaster_live.bridges.carla.injection import install

            install(module, os.environ)
        except Exception as error:
            sys.stderr.write(
                "realmaster: error: expected this program's cameras to be realized, got "
                f"{error!r} in {sys.executable}: install realmaster_live there, or use "
                "realmaster proxy\n"
            )


def _run_hidden() -> None:
    """Run the sitecustomize that would have run without this one."""
    paths = [path for path in sys.path if Path(path or ".").resolve() != HERE]
    spec = PathFinder.find_spec("sitecustomize", paths)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if os.environ.get("REALMASTER_INJECT"):
    sys.meta_path.insert(0, _Watcher())
_run_hidden()
