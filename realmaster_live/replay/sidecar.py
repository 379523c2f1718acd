"""What somebody wrote beside footage: where it is from, how fast, through which lens.

A video `drive.mp4` may have a `drive.json` beside it, and a folder of pictures an `about.json` in
it: a JSON object with any of town, route, weather, seed, prompt, licence, fps and fov_deg.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from realmaster_live.errors import PairError


def told_beside(path: Path) -> dict[str, Any]:
    """Return what a sidecar says of a video or a folder of pictures; empty without one.

    Raises:
        PairError: it is no JSON object.
    """
    sidecar = path / "about.json" if path.is_dir() else path.with_suffix(".json")
    if not sidecar.exists():
        return {}
    try:
        facts = json.loads(sidecar.read_text(encoding="utf-8"))
        return dict(facts)
    except (OSError, ValueError, TypeError) as error:
        raise PairError(
            f"expected a JSON object with town, route and so on in {sidecar}, got {error}: mend it "
            "or delete it"
        ) from error
