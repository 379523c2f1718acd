"""Requests to a vendor's interface over HTTP, by `requests`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from realmaster_live.optional import require

requests = require("requests", extra="pairs")

TIMEOUT_S = (10.0, 120.0)  # to connect, and between two bytes
SHOWN = 200  # characters of a vendor's own words


@dataclass(frozen=True, kw_only=True)
class Web:
    """A vendor's interface.

    Attributes:
        url: of it, without a path. headers: of every request, with the key.
    """

    url: str
    headers: Mapping[str, str]

    def post(self, path: str, **body: Any) -> Any:
        """Send once and return the answer, whatever its status: it is never sent again."""
        return requests.post(
            self.url.rstrip("/") + path, headers=self.headers, timeout=TIMEOUT_S, **body
        )

    def get(self, path: str) -> Any:
        """Return the answer; raises requests.RequestException where it is none."""
        answer = requests.get(self.url.rstrip("/") + path, headers=self.headers, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return answer

    def __repr__(self) -> str:
        """Return text without the key."""
        return f"Web({self.url})"


def download(url: str) -> bytes:
    """Return the bytes behind an address that needs no key."""
    answer = requests.get(url, timeout=TIMEOUT_S)
    answer.raise_for_status()
    content: bytes = answer.content
    return content


def fields(answer: Any) -> Mapping[str, Any]:
    """Return the JSON object of an answer; requests.RequestException where it holds none."""
    try:
        found = answer.json()
    except ValueError as error:
        raise requests.RequestException("no JSON in the answer", response=answer) from error
    if not isinstance(found, dict):
        raise requests.RequestException("no object in the answer", response=answer)
    return found


def word(found: Mapping[str, Any], name: str) -> str:
    """Return a text of an answer; requests.RequestException where it has none of that name."""
    value = found.get(name)
    if not isinstance(value, str) or not value:
        raise requests.RequestException(f"no {name} in the answer")
    return value


def refusal(answer: Any) -> str:
    """Return why a request was refused, in the vendor's words; "" where it was not.

    Raises:
        requests.HTTPError: the vendor had a fault of its own, so it may have taken the order.
    """
    if answer.status_code >= 500:
        answer.raise_for_status()
    if answer.status_code >= 400:
        return f"status {answer.status_code}: {' '.join(answer.text.split())[:SHOWN]}"
    return ""
