"""Saved states of a run, written atomically; if the newest is damaged, the previous one is used.

```
FOLDER/step=N/{*.safetensors, state.json, MANIFEST.sha256}   FOLDER/LATEST
```
A process that dies at any moment leaves the earlier states intact.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from realmaster_live.errors import ConfigError, RealMasterError
from realmaster_live.model.checkpoint import write_tensors
from realmaster_live.system.atomic_files import remove_leftovers, replacing, write_json, write_text
from realmaster_live.system.contents import sha256_of

logger = logging.getLogger(__name__)

LATEST, MANIFEST, NUMBERS = "LATEST", "MANIFEST.sha256", "state.json"


def write_state(
    folder: Path, step: int, files: Mapping[str, Mapping[str, Tensor]], numbers: Mapping[str, Any]
) -> Path:
    """Write `step=N` with safetensors files by name and JSON numbers; LATEST then names it.

    The newest intact state before it is kept as a fallback. All others are deleted, also those of
    later steps, which a run leaves behind when it falls back.
    """
    target = folder / f"step={step}"
    remove_leftovers(target)
    with replacing(target) as part:
        part.mkdir()
        for name, tensors in files.items():
            write_tensors(part / name, dict(tensors))
        write_json(part / NUMBERS, {"step": step, **numbers})
        lines = [f"{sha256_of(path)}  {path.name}\n" for path in sorted(part.iterdir())]
        write_text(part / MANIFEST, "".join(lines))
    write_text(folder / LATEST, target.name)
    earlier = [each for each in reversed(states(folder)) if step_of(each) < step]
    kept = {target, next((each for each in earlier if damage(each) is None), target)}
    for each in states(folder):
        if each not in kept:
            shutil.rmtree(each)
    return target


def latest(folder: Path) -> tuple[Path, dict[str, Any]] | None:
    """Return the newest intact state and its numbers, or None before the first was saved.

    Raises:
        ConfigError: states were saved, but none is intact: a run never restarts from zero by
            itself.
    """
    saved = states(folder)
    pointer = folder / LATEST
    if pointer.is_file():
        named = folder / pointer.read_text().strip()
        saved = [each for each in saved if step_of(each) <= step_of(named)]
    problems = []
    for state in reversed(saved):
        problem = damage(state)
        if problem is None:
            numbers: dict[str, Any] = json.loads((state / NUMBERS).read_text())
            return state, numbers
        logger.error("%s is broken (%s): falling back to the state before it", state, problem)
        problems.append(f"{state.name}: {problem}")
    if problems or pointer.is_file():
        raise ConfigError(
            f"expected a whole saved state in {folder}, got {'; '.join(problems) or 'none'}: put "
            "one back from a copy, or remove the folder to begin anew"
        )
    return None


def states(folder: Path) -> list[Path]:
    """Return the folders of saved states, the newest last."""
    found = [path for path in folder.glob("step=*") if path.name[5:].isdecimal()]
    return sorted(found, key=step_of)


def step_of(state: Path) -> int:
    """Return the step in a state's name; -1 if there is none."""
    text = state.name.removeprefix("step=")
    return int(text) if text.isdecimal() else -1


def damage(state: Path) -> str | None:
    """Return what is wrong with a state, or None if every file matches its hash."""
    try:
        entries = [line.split("  ", 1) for line in (state / MANIFEST).read_text().splitlines()]
        for digest, name in entries:
            if sha256_of(state / name) != digest:
                return f"{name} is not what was written"
    except (OSError, ValueError, RealMasterError) as error:
        return str(error)
    return None if entries else f"{MANIFEST} is empty"
