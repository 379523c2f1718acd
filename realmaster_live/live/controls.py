"""The controls of a run: any thread asks, and the loop changes its engines between two chunks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace

from realmaster_live.errors import EngineError, RealMasterError
from realmaster_live.frames.controls import Control, Offer
from realmaster_live.live.wrapper import innermost
from realmaster_live.protocols import (
    AdaptedEngine,
    Engine,
    PromptedEngine,
    RigEngine,
    SeededEngine,
)

_Change = Callable[[Engine | RigEngine], None]


class EngineControls:
    """The controls of one run's engines; see `frames.controls.Controls`.

    Each control has one slot, and the newest request is the one that stays in it: a slider that is
    dragged asks often, and never makes a queue.

    Args:
        engines: of the run's cameras; they are changed together, and the first says what it offers.
    """

    def __init__(self, engines: Sequence[Engine | RigEngine]) -> None:
        self._engines = engines
        self._offer = _offer(engines[0])
        self._waiting: dict[Control, tuple[_Change, Future[bool]]] = {}
        self._closed = False
        self._lock = threading.Lock()

    @property
    def offer(self) -> Offer:
        """What can be changed, and how it is set as of the last chunk."""
        return self._offer

    def set_prompt(self, prompt: str, fade_chunks: int = 0) -> Future[bool]:
        """Ask for another weather or look, cross-fading over `fade_chunks` chunks."""

        def change(engine: Engine | RigEngine) -> None:
            if isinstance(engine, PromptedEngine):
                engine.set_prompt(prompt, fade_chunks)

        return self._ask("prompt", change)

    def set_strength(self, strength: float) -> Future[bool]:
        """Ask for another factor on the adapters' strengths."""

        def change(engine: Engine | RigEngine) -> None:
            inner = innermost(engine)
            if isinstance(inner, AdaptedEngine):
                inner.set_strength(strength)

        return self._ask("strength", change)

    def set_seed(self, seed: int) -> Future[bool]:
        """Ask for other noise."""

        def change(engine: Engine | RigEngine) -> None:
            inner = innermost(engine)
            if isinstance(inner, SeededEngine):
                inner.set_seed(seed)

        return self._ask("seed", change)

    def apply(self) -> None:
        """Change the engines as was asked since the last call; for the thread that realizes."""
        if not self._waiting:
            return
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for change, future in waiting.values():
            if not future.set_running_or_notify_cancel():
                continue
            try:
                for engine in self._engines:
                    change(engine)
            except RealMasterError as error:  # a refused request ends no run
                future.set_exception(error)
            except BaseException as error:
                future.set_exception(error)
                raise
            else:
                future.set_result(True)
        self._offer = replace(
            self._offer, strength=_strength(self._engines[0]), seed=_seed(self._engines[0])
        )

    def close(self) -> None:
        """Answer every request, also later ones, by False: the run is over."""
        with self._lock:
            self._closed = True
            waiting, self._waiting = self._waiting, {}
        for _, future in waiting.values():
            _leave_out(future)

    def _ask(self, control: Control, change: _Change) -> Future[bool]:
        future: Future[bool] = Future()
        if control in self._offer.lacks:
            future.set_exception(EngineError(self._offer.lacks[control]))
            return future
        with self._lock:
            overtaken = self._waiting.pop(control, None)
            if not self._closed:
                self._waiting[control] = change, future
        if overtaken is not None:
            _leave_out(overtaken[1])
        if self._closed:
            _leave_out(future)
        return future


def _leave_out(future: Future[bool]) -> None:
    if not future.done() and future.set_running_or_notify_cancel():
        future.set_result(False)


def _offer(engine: Engine | RigEngine) -> Offer:
    inner = innermost(engine)
    name = getattr(inner, "name", type(inner).__name__)
    listed = getattr(inner, "prompts", None)  # a user's own engine need not list them
    prompts = () if listed is None else tuple(listed)
    lacks: dict[Control, str] = {}
    if not isinstance(inner, PromptedEngine) or (listed is not None and not prompts):
        lacks["prompt"] = f"the engine {name} shows one look: open a model that has prompts"
    if not isinstance(inner, AdaptedEngine):
        lacks["strength"] = f"the engine {name} takes no adapter: open a checkpoint with one"
    elif inner.fixed_strength:
        lacks["strength"] = inner.fixed_strength
    if not isinstance(inner, SeededEngine):
        lacks["seed"] = f"the engine {name} draws no noise that could be changed while it runs"
    return Offer(
        prompts=() if "prompt" in lacks else prompts,
        strength=_strength(engine),
        seed=_seed(engine),
        lacks=lacks,
    )


def _strength(engine: Engine | RigEngine) -> float | None:
    inner = innermost(engine)
    settable = isinstance(inner, AdaptedEngine) and not inner.fixed_strength
    return inner.strength if settable and isinstance(inner, AdaptedEngine) else None


def _seed(engine: Engine | RigEngine) -> int | None:
    inner = innermost(engine)
    return inner.seed if isinstance(inner, SeededEngine) else None
