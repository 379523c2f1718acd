"""Asks a vision-language model about films, behind an HTTP interface as OpenAI's.

Every question is written down before it is sent, under the hash of everything that is asked, and so
is its answer. A run that was stopped goes on where it was; a question that was answered is never
sent again, not even if its answer could not be read; and one whose answer never came may have been
charged, so a person decides whether to ask again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.optional import require
from realmaster_live.recording.sample import Sample
from realmaster_live.system.atomic_files import write_bytes
from realmaster_live.system.records import encode, read_record
from realmaster_live.training.evaluate.drives.films import RENDER, Picture, method_of
from realmaster_live.training.evaluate.drives.sets import Found
from realmaster_live.training.evaluate.drives.summary import Figure, Numbers, Value, interval
from realmaster_live.training.evaluate.measures.rubric import RUBRIC, Verdict, read_verdict

requests = require("requests", extra="evaluate")

KEY = "REALMASTER_VLM_KEY"  # in the environment
EVERY_BLOCKS = 5  # seconds between two moments of a drive that are asked about
MOST_SIDE, QUALITY = 1024, 90  # pixels and of a JPEG, as pictures are sent
MOST_TOKENS = 400  # of an answer
TIMEOUT_S = (10.0, 180.0)  # to connect, and between two bytes
BUSY, PATIENCE = (429, 503), 4  # statuses that charge nothing, and how often they are waited for
LONGEST_PAUSE_S = 30.0
MOST_UNANSWERED = 3  # new questions in a row, before no more are sent: each may be charged
RESAMPLES = 1000
PHOTOGRAPH = Figure(
    name="judged a photograph", group="judge", better="higher",
    meaning="how far a vision-language model would take it for a photograph, 0 to 3",
    needs="no vision-language model: give --vlm URL and --vlm-model",
)  # fmt: skip
FLAWS = Figure(
    name="judged flaws", group="judge", better="lower", needs=PHOTOGRAPH.needs,
    meaning="flaws that it sees, by the rubric, 0 to 3",
)  # fmt: skip
UNREAD = Figure(
    name="unreadable answers", group="judge", better="lower", needs=PHOTOGRAPH.needs,
    meaning="share of its answers that are no verdict; they count as none, never as clean",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question, as its file keeps it; `answer` is None as long as none came."""

    model: str
    sent_at: str
    answer: str | None = None
    tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class VlmClient:
    """Sends questions.

    Attributes:
        url: of the interface, such as https://host/v1. model: its name there.
        folder: where questions and answers are kept. most: questions of one run.
    """

    url: str
    model: str
    folder: Path
    most: int = 200

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")) or not self.model:
            raise ConfigError(
                f"expected --vlm as an http address and --vlm-model, got {self.url!r} and "
                f"{self.model!r}: write such as https://host/v1 and the model's name there"
            )

    def body(self, render: Picture, picture: Picture) -> dict[str, Any]:
        """Return the question about a picture that was made of a render."""
        images = [
            {"type": "image_url", "image_url": {"url": as_url(each)}} for each in (render, picture)
        ]
        content = [{"type": "text", "text": RUBRIC}, *images]
        return {
            "model": self.model,
            "temperature": 0,
            "max_tokens": MOST_TOKENS,
            "messages": [{"role": "user", "content": content}],
        }

    def path(self, body: Mapping[str, Any]) -> Path:
        """Return where a question and its answer are kept."""
        digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        return self.folder / f"{digest[:32]}.json"

    def is_known(self, body: Mapping[str, Any]) -> bool:
        """Return whether a question was sent before."""
        return self.path(body).exists()

    def ask(self, body: Mapping[str, Any]) -> str:
        """Return the answer to a question, which is sent if it never was.

        Raises:
            PairError: no answer came, or the model refused; says what to do.
        """
        path = self.path(body)
        if path.exists():
            known = read_record(
                path, Question, what="a question to a model", error=PairError,
                remedy="delete it to ask, and pay, again",
            )  # fmt: skip
            if known.answer is not None:
                return known.answer
            raise PairError(
                f"expected the answer to the question of {known.sent_at}, got none, and it may "
                f"have been charged: delete {path} to ask again"
            )
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        question = Question(model=self.model, sent_at=now)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(path, encode(question))
        answer = self._send(body, path)
        text, tokens = content_of(answer)
        write_bytes(
            path, encode(Question(model=self.model, sent_at=now, answer=text, tokens=tokens))
        )
        return text

    def _send(self, body: Mapping[str, Any], path: Path) -> Any:
        """Return the interface's answer; a question that it did not take is forgotten."""
        key = os.environ.get(KEY, "")
        headers = {"Idempotency-Key": path.stem}
        headers |= {"Authorization": f"Bearer {key}"} if key else {}
        url = f"{self.url.rstrip('/')}/chat/completions"
        for attempt in range(PATIENCE):
            try:
                answer = requests.post(url, json=body, headers=headers, timeout=TIMEOUT_S)
            except requests.RequestException as error:
                if was_not_sent(error):
                    path.unlink()
                    raise PairError(
                        f"expected an answer of {self.url}, got no connection: check the address "
                        "and the network, and run the same command again"
                    ) from error
                raise PairError(
                    f"expected an answer of {self.url}, got {type(error).__name__}: it may have "
                    f"been charged, so delete {path} to ask again"
                ) from error
            if answer.status_code in BUSY and attempt + 1 < PATIENCE:
                time.sleep(pause_s(answer.headers.get("Retry-After", ""), attempt))
                continue
            break
        if answer.status_code >= 400:
            words = " ".join(answer.text.split())[:200]
            remedy = f"it may have been charged, so delete {path} to ask again"
            if answer.status_code < 500 or answer.status_code in BUSY:
                path.unlink()  # refused, so not charged
                remedy = f"check --vlm-model and the key in {KEY}"
            raise PairError(
                f"expected an answer of {self.url}, got status {answer.status_code} ({words}): "
                f"{remedy}"
            )
        return answer


def pause_s(wanted: str, attempt: int) -> float:
    """Return how long to wait for a busy service, which may say so in seconds."""
    try:
        seconds = float(wanted)
    except ValueError:  # a date, or nothing
        seconds = math.nan
    return min(seconds if seconds >= 0 else 2.0**attempt, LONGEST_PAUSE_S)


def was_not_sent(error: Exception) -> bool:
    """Return whether a request ended before there was a connection."""
    words = str(error)
    refused = any(word in words for word in ("refused", "NameResolution", "Name or service"))
    return isinstance(error, requests.ConnectTimeout) or refused


def content_of(answer: Any) -> tuple[str, int]:
    """Return the text of an interface's answer and how many tokens it took.

    An answer of another form is kept as it came: it was charged, and is no verdict.
    """
    try:
        found = answer.json()
        text = found["choices"][0]["message"]["content"]
        return str(text), int(found.get("usage", {}).get("total_tokens", 0))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        return str(answer.text), 0


def as_url(picture: Picture) -> str:
    """Return a picture as a data URL."""
    scale = min(1.0, MOST_SIDE / max(picture.shape[:2]))
    if scale < 1:
        size = [round(side * scale) for side in picture.shape[1::-1]]
        picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    )
    return f"data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}"


@dataclass(kw_only=True)
class VlmMeasure:
    """Has moments of every film judged by a rubric.

    Attributes:
        client: sends the questions.
    """

    client: VlmClient
    _questions: dict[str, dict[int, dict[str, Any]]] = field(default_factory=dict)
    """Film -> block -> question."""

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Return what is measured."""
        return (PHOTOGRAPH, FLAWS, UNREAD)

    def add(self, film: str, picture: Picture, sample: Sample, block: int) -> None:
        """Take a film's picture, if it is the first of a moment."""
        questions = self._questions.setdefault(film, {})
        if block % EVERY_BLOCKS == 0 and block not in questions:
            questions[block] = self.client.body(sample.image, picture)

    def values(self, methods: Sequence[str]) -> tuple[Found, Mapping[str, str]]:
        """Ask what was not asked before, and return the scores.

        After MOST_UNANSWERED new questions in a row without an answer no more are sent.

        Raises:
            ConfigError: there would be more new questions than allowed.
        """
        every = [body for bodies in self._questions.values() for body in bodies.values()]
        new = sum(not self.client.is_known(body) for body in every)
        if new > self.client.most:
            raise ConfigError(
                f"expected at most {self.client.most} new questions to {self.client.model}, got "
                f"{new}: raise --vlm-most, or shorten the drives with --seconds"
            )
        skipped: dict[str, str] = {}
        moments = sorted({block for bodies in self._questions.values() for block in bodies})
        scored = {
            film: np.full((3, len(moments)), np.nan) for film in self._questions
        }  # NaN where nothing is known
        unanswered, unsent = 0, 0
        for film, bodies in self._questions.items():
            for place, block in enumerate(moments):
                if block not in bodies:
                    continue
                is_new = not self.client.is_known(bodies[block])
                if is_new and unanswered == MOST_UNANSWERED:
                    unsent += 1
                    continue
                try:
                    scored[film][:, place] = scores(self.client.ask(bodies[block]))
                    unanswered = 0 if is_new else unanswered
                except PairError as error:
                    unanswered += is_new
                    skipped[f"question {place} about {film}"] = str(error)
        if unsent:
            skipped[f"{unsent} more questions"] = (
                f"not sent, after {MOST_UNANSWERED} in a row without an answer: run the same "
                "command again when the service answers"
            )
        found = {}
        for method in methods:
            films = [each for film, each in scored.items() if method_of(film) == method]
            if films:
                found[method] = _values(method, films, scored.get(RENDER))
        unknown = (f.name for f in self.figures if not any(f.name in v for v in found.values()))
        if self._questions:
            skipped |= dict.fromkeys(unknown, f"{self.client.model} gave no answer that says it")
        return found, skipped


def scores(answer: str) -> tuple[float, float, float]:
    """Return photograph, flaws and whether the answer is no verdict; NaN where it is none."""
    try:
        verdict: Verdict = read_verdict(answer)
    except ValueError:
        return np.nan, np.nan, 1.0
    return float(verdict.photograph), verdict.flaws, 0.0


def _values(method: str, films: list[Numbers], render: Numbers | None) -> dict[str, Value]:
    """Return the values of one method; moments are drawn together with the render's."""
    found = {}
    draw = np.random.default_rng(0)
    for place, figure in enumerate((PHOTOGRAPH, FLAWS, UNREAD)):
        own = np.stack([each[place] for each in films])  # (films, moments)
        if np.isnan(own).all():
            continue
        value, count = _mean(own), own.shape[1]
        chosen = draw.integers(count, size=(RESAMPLES if count > 1 else 0, count))
        drawn = np.array([_mean(own[:, rows]) for rows in chosen])
        against, bounds = None, None
        if method != RENDER and render is not None and not np.isnan(render[place]).all():
            theirs = render[place][None]
            against = value - _mean(theirs)
            bounds = interval(drawn - np.array([_mean(theirs[:, rows]) for rows in chosen]))
        found[figure.name] = Value(
            value=value, interval=interval(drawn), against=against, against_interval=bounds,
            films=len(films),
        )  # fmt: skip
    return found


def _mean(values: Numbers) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else float("nan")
