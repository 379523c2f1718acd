"""Public names that are imported when they are first used (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Collection, Mapping
from typing import Any


def lazy_names(
    package: str,
    homes: Mapping[str, str],
    *,
    modules: Collection[str] = (),
    extras: Mapping[str, str] | None = None,
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a package.

    Args:
        package: its full name.
        homes: public name -> full name of the module that defines it. No name may be that of a
            submodule of the package: importing the submodule would replace it.
        modules: submodules that are public names, too.
        extras: public name -> the extra that brings what its module imports; of others "live".
    """

    def __getattr__(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")  # which binds it in the package
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        extra = (extras or {}).get(name)
        try:
            home = importlib.import_module(homes[name])
        except ImportError as error:
            if extra is None and not isinstance(error, ModuleNotFoundError):
                raise
            from realmaster_live.optional import require

            home = require(homes[name], extra=extra or "live")  # which says what is missing
        value = getattr(home, name)
        setattr(sys.modules[package], name, value)  # cached: this is not called again
        return value

    def __dir__() -> list[str]:
        dunders = (name for name in vars(sys.modules[package]) if name.startswith("__"))
        return sorted({*dunders, *homes, *modules})

    return __getattr__, __dir__
