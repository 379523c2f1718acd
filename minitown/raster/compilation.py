"""Compiles the rasteriser's kernels, keeps them on disk, and runs them on all cores."""

from __future__ import annotations

import functools
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from numpy.typing import NDArray

from realmaster_live.errors import reason
from realmaster_live.optional import require

numba = require("numba", extra="minitown")
events = require("numba.core.event", extra="minitown")
Listener: Any = events.Listener
log = logging.getLogger(__name__)

# Everything of fastmath but the promise that no value is inf or nan: the sky's depth is inf.
FAST = {"nsz", "arcp", "contract", "afn", "reassoc"}

Array = NDArray[Any]
Scalar = Any  # a plain number or one of numpy's: compiled code takes both
Function = TypeVar("Function", bound=Callable[..., Any])


class _Telling(Listener):  # type: ignore[misc]
    """Logs each kernel that is compiled, so that who waits for a start sees it go on."""

    def on_start(self, event: Any) -> None:
        function = event.data["dispatcher"].py_func  # numba's own are compiled like ours
        if function.__module__.startswith("realmaster_live."):
            log.info("compiling %s", function.__qualname__)

    def on_end(self, event: Any) -> None:
        pass


events.register("numba:compile", _Telling())


def kernel(function: Function) -> Function:
    """Compile to machine code, kept on disk. It may not make arrays: it does not count references.

    To count those of all arrays wherever one is named took half of the shading's time.
    """
    return _compiled(function, _nrt=False)


def inlined(function: Function) -> Function:
    """Compile as part of the kernels that call it: a call would pass every array anew."""
    return _compiled(function, _nrt=False, forceinline=True)


def making_kernel(function: Function) -> Function:
    """Compile a kernel that makes arrays."""
    return _compiled(function)


def split_kernel(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a kernel whose first arguments are its first item and its step, and split it."""
    return split(kernel(function))


def split(compiled: Callable[..., None]) -> Callable[..., None]:
    """Return a function that takes a kernel's other arguments and runs it on all cores.

    Kernels do not hold the GIL. This compiles in half the time of numba's own parallel loops, and
    threads that wait sleep.
    """

    @functools.wraps(compiled)
    def on_all_cores(*args: Any) -> None:
        pool, step = _pool()
        others = [pool.submit(compiled, first, step, *args) for first in range(1, step)]
        try:
            compiled(0, step, *args)
        finally:
            wait(others)
        for other in others:
            other.result()

    return on_all_cores


@functools.cache
def _pool() -> tuple[ThreadPoolExecutor, int]:
    """Return the threads that help, and how many threads there are with the calling one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return ThreadPoolExecutor(cores or 1, "minitown-raster"), cores or 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a child has none of the threads


@functools.cache
def cache_folder() -> Path | None:
    """Return the folder of compiled kernels, None where it cannot be written."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    if given:
        folder = Path(given).absolute()
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
        folder = Path(base) / "realmaster-live" / "kernels"
    try:
        if not folder.is_absolute():
            raise OSError("a user without a home")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        log.warning(
            "expected to keep compiled kernels in %s, got %s: every start compiles them until "
            "NUMBA_CACHE_DIR names a folder that can be written",
            folder,
            error,
        )
        return None


def _compiled(function: Function, **options: bool) -> Function:
    return cast(Function, _kept(numba.njit(fastmath=FAST, nogil=True, **options)(function)))


def _kept(compiled: Any) -> Any:
    """Return a kernel that is loaded from disk, and stored there once it is compiled."""
    folder = cache_folder()
    if folder is not None:
        with _cached_in(folder):
            compiled.enable_caching()
        _tolerate_damage(compiled._cache)
    return compiled


def _tolerate_damage(cache: Any) -> None:
    """Have what cannot be read from numba's cache compiled anew, and what cannot be kept lost.

    Whatever an unpickler meets in a file that a full disk has cut, it may raise.
    """
    load, save = cache.load_overload, cache.save_overload

    def load_overload(*args: Any) -> Any:
        try:
            return load(*args)
        except Exception as error:
            _warn_once(f"read the compiled kernels in {cache.cache_path}", reason(error))
            with suppress(OSError):
                cache.flush()  # an empty index, so that they are kept again
            return None

    def save_overload(*args: Any) -> None:
        try:
            save(*args)
        except OSError as error:
            _warn_once(f"keep compiled kernels in {cache.cache_path}", reason(error))

    cache.load_overload, cache.save_overload = load_overload, save_overload


@functools.cache
def _warn_once(wanted: str, got: str) -> None:
    log.warning("expected to %s, got %s: they are compiled anew", wanted, got)


@contextmanager
def _cached_in(folder: Path) -> Iterator[None]:
    """Have numba choose `folder`, without changing the choice for other users of numba."""
    before, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(folder)
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before
