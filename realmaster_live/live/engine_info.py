"""The facts about an engine that a recording stores."""

from __future__ import annotations

import hashlib
import json

from realmaster_live.frames.run_info import EngineInfo
from realmaster_live.live.wrapper import innermost
from realmaster_live.protocols import Engine, RigEngine


def engine_info(engine: Engine | RigEngine) -> EngineInfo:
    """Return the name, files and licence of the engine inside all that wraps it."""
    inner = innermost(engine)
    manifest = getattr(inner, "manifest", {})
    files = manifest.get("files")
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return EngineInfo(
        name=str(getattr(inner, "name", type(inner).__name__)),
        sha256=digest if files else "",
        licence=str(manifest.get("licence", "")),
    )
