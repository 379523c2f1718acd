"""A build's manifest: what its plans were built for, and the hashes that allow loading them.

A plan is executable content. It is only loaded if its hash is in the manifest and the manifest's
own hash is in a list that `realmaster build` keeps for this user.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from realmaster_live.engines.manifest import check_files
from realmaster_live.errors import BuildError, PlanMismatch
from realmaster_live.system.atomic_files import write_text
from realmaster_live.system.contents import sha256_of
from realmaster_live.system.texts import read_object

FORMAT = 1
MANIFEST = "plans.json"
GRAPHS_FOLDER = "graphs"  # subfolder of a build: the export that its plans were made from
BUILT_FOR = {  # field of a manifest -> advice if this machine has another value
    "flavour": "install the compiler that the plans were built with, or build them again",
    "version": "plans need that exact version: install it, or build them again",
    "sm": "plans are for one GPU architecture: build them again on this GPU",
    "driver": "build them again for this driver",
    "width": "build them again for this size, or ask for the built one",
    "height": "build them again for this size, or ask for the built one",
    "precision": "build them again with this precision",
}


def plan_key(facts: Mapping[str, Any]) -> str:
    """Return a plan's cache key: a hash of everything that decides its bytes."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def trust_file() -> Path:
    """Return the path of the list of manifests that this user built."""
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "realmaster-live" / "built-plans.txt"


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write a build's manifest and add its hash to `trust_file`."""
    text = json.dumps({"format": FORMAT, **manifest}, indent=2) + "\n"
    trusted = trust_file()
    trusted.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with trusted.open("a") as file:
        file.write(hashlib.sha256(text.encode()).hexdigest() + "\n")
    write_text(folder / MANIFEST, text)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a build that this user made, after checking all files' hashes.

    Raises:
        BuildError: there is none, another user wrote it, or a file was truncated or changed.
    """
    path = folder / MANIFEST
    manifest = read_object(
        path, what="the manifest of a build", remedy="run realmaster build", error=BuildError
    )
    if manifest.get("format") != FORMAT:
        raise BuildError(
            f"expected manifest format {FORMAT}, got {manifest.get('format')} in {path}: "
            "run realmaster build again with this version"
        )
    digest = sha256_of(path, error=BuildError)
    trusted = trust_file()
    if not trusted.is_file() or digest not in trusted.read_text().split():
        raise BuildError(
            f"expected {path} as realmaster build wrote it for this user, got a file with sha256 "
            f"{digest[:12]} that is not in {trusted}: plans run code, so build them here"
        )
    check_files(folder, manifest.get("files"), path, remedy="run realmaster build again")
    return manifest


def check_fits(manifest: Mapping[str, Any], present: Mapping[str, Any], folder: Path) -> None:
    """Raise PlanMismatch for the first field in which a build does not fit this machine."""
    for field, remedy in BUILT_FOR.items():
        if field in present and manifest[field] != present[field]:
            raise PlanMismatch(
                f"expected {field} {manifest[field]}, for which the plans in {folder} were built, "
                f"got {present[field]}: {remedy}"
            )
