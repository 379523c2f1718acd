"""Runway Aleph: a film edited by an instruction, by Runway's HTTP interface.

`requests` speaks it, not the package `runwayml`: when no answer comes, 5.24 by default sends an
order again, and both are paid. The paper's Aleph was gen4_aleph; what Runway sells
now is aleph2, so figures of the two are not the same method's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realmaster_live.errors import ConfigError
from realmaster_live.training.evaluate.baselines.orders import Progress, Reply
from realmaster_live.training.evaluate.baselines.service import Seat, Service, ServiceConfig
from realmaster_live.training.evaluate.baselines.web import (
    TIMEOUT_S,
    Web,
    download,
    fields,
    refusal,
    requests,
    word,
)

VARIABLE = "RUNWAYML_API_SECRET"
VERSION = "2024-11-06"  # of the interface
LEAST_S, MOST_S = 2.0, 30.0  # of a film
FAILED = ("FAILED", "CANCELLED")


@dataclass(frozen=True, kw_only=True)
class AlephConfig(ServiceConfig):
    """Table [aleph].

    Attributes:
        seconds: most seconds of a piece, 30 at most.
        usd_per_s: 28 credits of $0.01, the list price in autumn 2026. least_usd: 56 credits.
    """

    model: str = "aleph2"
    usd_per_s: float = 0.28
    least_usd: float = 0.56
    url: str = "https://api.dev.runwayml.com"

    def __post_init__(self) -> None:
        ServiceConfig.__post_init__(self)
        if self.seconds > MOST_S:
            raise ConfigError(
                f"expected seconds of at most {MOST_S:g} in [aleph], got {self.seconds:g}: Runway "
                "takes no longer films"
            )


class Runway:
    """Runway's interface: an upload, a task, and the address of what it made."""

    def __init__(self, config: AlephConfig, key: str) -> None:
        """Take the options and the secret."""
        self.config = config
        self._web = Web(
            url=config.url,
            headers={"Authorization": f"Bearer {key}", "X-Runway-Version": VERSION},
        )

    def submit(self, film: Path) -> Reply:
        """Upload a film and order its edit."""
        try:
            address = self._upload(film)
        except requests.RequestException as error:  # an upload costs nothing
            return Reply(refusal=f"no upload, {type(error).__name__}")
        config = self.config
        order = {
            "model": config.model,
            "videoUri": address,
            "promptText": config.prompt,
            "seed": config.seed,
        }
        answer = self._web.post("/v1/video_to_video", json=order)
        why = refusal(answer)
        return Reply(refusal=why) if why else Reply(job=word(fields(answer), "id"))

    def progress(self, job: str) -> Progress:
        """Return where a task stands."""
        task = self._task(job)
        status = task.get("status")
        if status == "SUCCEEDED":
            return Progress(state="done")
        if status in FAILED:
            words = str(task.get("failure") or str(status).lower())
            code = f" ({task['failureCode']})" if task.get("failureCode") else ""
            return Progress(state="failed", reason=words + code)
        return Progress(state="waiting")

    def fetch(self, job: str) -> bytes:
        """Return the film of a task; its address is asked for anew, as it expires within a day."""
        output = self._task(job).get("output")
        if not isinstance(output, list) or not output:
            raise requests.RequestException("no film in the answer")
        return download(str(output[0]))

    def _task(self, job: str) -> Mapping[str, Any]:
        return fields(self._web.get(f"/v1/tasks/{job}"))

    def _upload(self, film: Path) -> str:
        """Return the address of an upload, which is deleted after a day."""
        answer = self._web.post("/v1/uploads", json={"filename": film.name, "type": "ephemeral"})
        answer.raise_for_status()
        where = fields(answer)
        with film.open("rb") as file:
            sent = requests.post(
                word(where, "uploadUrl"),
                data=where.get("fields"),
                files={"file": (film.name, file, "video/mp4")},
                timeout=TIMEOUT_S,
            )
        sent.raise_for_status()
        return word(where, "runwayUri")


def make(config: AlephConfig) -> Service:
    """Return the method."""
    key = os.environ.get(VARIABLE, "")
    client = Runway(config, key)
    seat = Seat(vendor="Runway", variable=VARIABLE, client=client, least_s=LEAST_S)
    return Service(config, seat, key)
