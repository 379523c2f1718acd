"""Runs the steps of the chain, each one public command, and measures what each took.

A step runs in a process of its own, as a user would type it, with its output in a log of its own.
A step that fails ends the chain; one whose software is not installed is skipped with the reason.
The outcomes are kept in the folder, so a stopped chain continues after its last whole step.
"""

from __future__ import annotations

import itertools
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from realmaster_live.errors import ConfigError
from realmaster_live.system.atomic_files import write_json
from realmaster_live.system.pages import aligned

PASSED, FAILED, SKIPPED = "PASS", "FAIL", "SKIP"
POLL_S = 0.2  # between two readings of a step's memory
LAST_LINES = 3  # lines of a failed step's log that are shown
LOGS = "logs"
STATE = "rehearsal.json"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command of the chain.

    Attributes:
        name: the step's name in the table.
        command: the arguments of `realmaster`, as typed in a shell in the rehearsal's folder.
        makes: files or folders in that folder that must exist afterwards.
        needs: the module that the step cannot run without; "" for none.
        resumes: whether the command continues in what it left behind when it was stopped.
    """

    name: str
    command: str
    makes: tuple[str, ...] = ()
    needs: str = ""
    resumes: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of a step.

    Attributes:
        seconds: wall-clock time. peak_bytes: peak memory of its processes together.
        written_bytes: size of what it made.
        result: "PASS", "FAIL" or "SKIP". reason: why it failed or was skipped.
    """

    step: Step
    seconds: float = 0.0
    peak_bytes: int = 0
    written_bytes: int = 0
    result: str = PASSED
    reason: str = ""


class State(msgspec.Struct, kw_only=True):
    """What the folder of a rehearsal says about it.

    Attributes:
        settings: the options of the command. outcomes: those of all whole steps, in order.
    """

    settings: dict[str, Any]
    outcomes: list[Outcome] = []


def open_state(folder: Path, settings: dict[str, Any]) -> State:
    """Return the state of a rehearsal: a new one for a new or empty folder.

    Raises:
        ConfigError: if the folder holds other things, or a rehearsal with other settings.
    """
    path = folder / STATE
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(
                f"expected a new or an empty folder for --out, or one of a rehearsal to continue, "
                f"got {folder}: name another one"
            )
        return State(settings=settings)
    try:
        state = msgspec.json.decode(path.read_bytes(), type=State)
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}): name another folder") from error
    if state.settings != settings:
        raise ConfigError(
            f"expected the settings of the rehearsal in {folder} ({_listed(state.settings)}), got "
            f"{_listed(settings)}: repeat those, or name another folder"
        )
    return state


def _listed(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def run_chain(
    steps: Sequence[Step], folder: Path, state: State, report: Callable[[Outcome], None]
) -> list[Outcome]:
    """Run the steps that are left until one fails; `report` is called with each outcome at once."""
    logs = folder / LOGS
    logs.mkdir(parents=True, exist_ok=True)
    whole = {each.step.name: each for each in state.outcomes}
    outcomes = []
    for number, step in enumerate(steps):
        if step.name in whole:
            outcomes.append(whole[step.name])
            continue
        if step.needs and find_spec(step.needs) is None:
            outcome = Outcome(step=step, result=SKIPPED, reason=f"{step.needs} is not installed")
        else:
            log = logs / f"{number:02d}-{step.name.replace(' ', '-')}.log"
            outcome = run_step(step, folder, log)
        outcomes.append(outcome)
        report(outcome)
        if outcome.result == FAILED:
            break
        state.outcomes.append(outcome)
        write_state(folder, state)
    return outcomes


def write_state(folder: Path, state: State) -> None:
    """Write the state into the folder of the rehearsal."""
    write_json(folder / STATE, msgspec.to_builtins(state))


def run_step(step: Step, folder: Path, log: Path) -> Outcome:
    """Run one command in a folder, with its output in a log."""
    made = [folder / place for place in step.makes]
    if not step.resumes:
        for path in made:
            _move_aside(path)
    command = [sys.executable, "-m", "realmaster_live", *shlex.split(step.command)]
    with log.open("w", encoding="utf-8") as output:
        print(f"$ realmaster {step.command}", file=output, flush=True)
        begin = time.monotonic()
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        memory = MemoryWatch(process.pid)
        try:
            status = process.wait()
        finally:
            process.kill()
            process.wait()
            peak = memory.stop()
    seconds = time.monotonic() - begin
    missing = [path for path in made if not path.exists()]
    reason = ""
    if status:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        reason = f"status {status}: " + " | ".join(lines[1:][-LAST_LINES:])
    elif missing:
        reason = f"it ended with status 0 but did not make {missing[0]}"
    return Outcome(
        step=step,
        seconds=seconds,
        peak_bytes=peak,
        written_bytes=sum(size_of(path) for path in made),
        result=FAILED if reason else PASSED,
        reason=reason,
    )


def _move_aside(path: Path) -> None:
    """Rename what a step that was stopped left behind."""
    if path.exists():
        free = (path.with_name(f"{path.name}.stopped-{k}") for k in itertools.count(1))
        path.rename(next(place for place in free if not place.exists()))


class MemoryWatch:
    """Samples the memory of a process and its descendants on a thread until it is stopped."""

    def __init__(self, pid: int) -> None:
        self._pid, self._peak = pid, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="rm-memory-watch", daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Stop, and return the peak in bytes; 0 where the system does not report memory."""
        self._over.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        while not self._over.wait(POLL_S):
            self._peak = max(self._peak, sum(_resident(pid) for pid in _family(self._pid)))


def _family(pid: int) -> Iterator[int]:
    """Yield the ids of a process and of all its descendants."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has ended, or the system is not Linux
        return
    for child in children:
        yield from _family(int(child))


def _resident(pid: int) -> int:
    """Return the resident memory of a process in bytes, mapped files included."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE")


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder."""
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size if path.is_file() else 0


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the lines of the table that is printed at the end."""
    rows = [("step", "seconds", "peak memory", "written", "")]
    for each in outcomes:
        rows.append(
            (
                each.step.name,
                f"{each.seconds:.1f}",
                f"{each.peak_bytes / 1e9:.2f} GB",
                f"{each.written_bytes / 1e6:.1f} MB",
                each.result + (f" ({each.reason})" if each.reason else ""),
            )
        )
    columns = [row[:4] for row in rows]
    return [f"{line}  {row[4]}".rstrip() for line, row in zip(aligned(columns), rows, strict=True)]
