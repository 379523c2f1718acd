"""Decart's Lucy: a film edited by an instruction, by Decart's HTTP interface.

The interface has no key that makes a repeated order harmless, so an order is sent once. What
Decart sells is newer than LucyEdit's open weights, the baseline of the paper: `lucyedit`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from realmaster_live.training.evaluate.baselines.orders import Progress, Reply
from realmaster_live.training.evaluate.baselines.service import Seat, Service, ServiceConfig
from realmaster_live.training.evaluate.baselines.web import Web, fields, refusal, word

VARIABLE = "DECART_API_KEY"


@dataclass(frozen=True, kw_only=True)
class DecartConfig(ServiceConfig):
    """Table [decart].

    Attributes:
        model: lucy-2.5, lucy-restyle-2, or another of its video models; not an alias such as
            lucy-latest, which changes.
        usd_per_s: the list price in autumn 2026.
        enhance: whether Decart rewrites the prompt first.
    """

    model: str = "lucy-2.5"
    usd_per_s: float = 0.04
    url: str = "https://api.decart.ai"
    poll_s: float = 3.0
    enhance: bool = False


class Decart:
    """Decart's interface: a job of a queue, and its content."""

    def __init__(self, config: DecartConfig, key: str) -> None:
        """Take the options and the secret."""
        self.config = config
        self._web = Web(url=config.url, headers={"x-api-key": key})

    def submit(self, film: Path) -> Reply:
        """Order the edit of a film."""
        config = self.config
        form = {
            "prompt": config.prompt,
            "seed": str(config.seed),
            "resolution": "720p",
            "enhance_prompt": str(config.enhance).lower(),
        }
        with film.open("rb") as file:
            answer = self._web.post(
                f"/v1/jobs/{config.model}",
                data=form,
                files={"data": (film.name, file, "video/mp4")},
            )
        why = refusal(answer)
        return Reply(refusal=why) if why else Reply(job=word(fields(answer), "job_id"))

    def progress(self, job: str) -> Progress:
        """Return where a job stands."""
        found = fields(self._web.get(f"/v1/jobs/{job}"))
        status = found.get("status")
        if status == "completed":
            return Progress(state="done")
        if status == "failed":
            return Progress(state="failed", reason=str(found.get("error") or "a failure"))
        return Progress(state="waiting")

    def fetch(self, job: str) -> bytes:
        """Return the film of a job."""
        content: bytes = self._web.get(f"/v1/jobs/{job}/content").content
        return content


def make(config: DecartConfig) -> Service:
    """Return the method."""
    key = os.environ.get(VARIABLE, "")
    client = Decart(config, key)
    return Service(config, Seat(vendor="Decart", variable=VARIABLE, client=client), key)
