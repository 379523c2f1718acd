"""Orders at vendors: each piece is ordered once, and an order outlives the process that placed it.

Beside the film that a piece becomes lie the order, written before anything is spent, and the
vendor's answer as it came. So a run that timed out, or was killed, goes on with the same order:

- ordered, with the vendor's number: it is waited for and fetched;
- placed, and no answer came: whether the vendor took it is not known, so a person has to look;
- failed at the vendor: a person decides whether to order again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from realmaster_live.errors import PairError
from realmaster_live.optional import require
from realmaster_live.system.atomic_files import write_bytes
from realmaster_live.system.records import encode, read_record

requests = require("requests", extra="pairs")

ORDER, ANSWER = ".order.json", ".answer.mp4"
State = Literal["waiting", "done", "failed"]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Order:
    """One order, as its file keeps it.

    Attributes:
        vendor: who was paid. model: of the vendor. usd: list price.
        placed: when, in UTC.
        job: the vendor's number; "" while it is not known.
        failed: why the vendor gave it up; "" where it has not.
    """

    vendor: str
    model: str
    usd: float
    placed: str
    job: str = ""
    failed: str = ""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a vendor said to an order: its number, or why it took none and charged nothing."""

    job: str = ""
    refusal: str = ""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where an order stands at the vendor, and why it failed if it did."""

    state: State
    reason: str = ""


class Vendor(Protocol):
    """A vendor's interface.

    What is thrown by `requests` means that no answer came: of `submit`, that the order may have
    been taken.
    """

    def submit(self, film: Path) -> Reply:
        """Order the edit of a film; the one call that costs money."""

    def progress(self, job: str) -> Progress:
        """Return where an order stands."""

    def fetch(self, job: str) -> bytes:
        """Return the film of an order that is done."""


def order_path(place: Path) -> Path:
    """Return the file of the order of a piece whose film will be at `place`."""
    return place.with_suffix(ORDER)


def answer_path(place: Path) -> Path:
    """Return where the vendor's answer is kept as it came."""
    return place.with_suffix(ANSWER)


def read_order(place: Path) -> Order | None:
    """Return the order of a piece, None where there is none.

    Raises:
        PairError: the file is damaged, which does not count as no order.
    """
    path = order_path(place)
    if not path.exists():
        return None
    return read_record(
        path,
        Order,
        what="an order",
        remedy="look at the vendor's page whether it was charged, and delete the file to order "
        "again",
        error=PairError,
    )


def collect(
    place: Path,
    vendor: Vendor,
    draft: Order,
    film: Callable[[], Path],
    *,
    timeout_s: float,
    poll_s: float,
) -> Path:
    """Return the vendor's answer to the order of a piece; order it if that was never done.

    Args:
        place: where the piece's film will be.
        vendor: whose.
        draft: the order to place.
        film: makes the film to send.
        timeout_s: how long to wait.
        poll_s: seconds between two questions.

    Raises:
        PairError: it is not there yet or never will be; says what to do. Nothing is paid twice.
    """
    answer = answer_path(place)
    if answer.is_file():
        return answer
    order = read_order(place)
    if order is None:
        order = _place(place, vendor, draft, film)
    if not order.job and not order.failed:
        raise PairError(
            f"expected the number of the order of {order.placed} at {order.vendor}, got none, as "
            "its answer never came or another process is placing it now: look at "
            f"{order.vendor}'s page whether it was charged, and delete {order_path(place)} to "
            "order again"
        )
    if not order.failed:
        order = _wait(place, vendor, order, timeout_s, poll_s)
    if order.failed:
        raise PairError(
            f"expected {order.vendor} to make order {order.job}, got {order.failed}: delete "
            f"{order_path(place)} to order and pay it again"
        )
    write_bytes(answer, _patiently(lambda: vendor.fetch(order.job), order, time.monotonic() + 60))
    return answer


def _place(place: Path, vendor: Vendor, draft: Order, film: Callable[[], Path]) -> Order:
    """Place an order: its file is there before anything can be charged."""
    path, sent = order_path(place), film()
    order = replace(draft, placed=datetime.now(UTC).isoformat(timespec="seconds"))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as file:  # of two processes, one
            file.write(encode(order))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        found = read_order(place)
        assert found is not None
        return found
    try:
        reply = vendor.submit(sent)
    except requests.ConnectTimeout as error:  # nothing was sent
        path.unlink()
        raise _unreachable(order, error) from error
    except requests.RequestException as error:
        raise PairError(
            f"expected an answer of {order.vendor} to an order, got {type(error).__name__}: look "
            f"at its page whether the order was charged, and delete {path} to order again"
        ) from error
    if reply.refusal:
        path.unlink()
        raise PairError(
            f"expected {order.vendor} to take an order, got a refusal ({reply.refusal}): change "
            "what it names; nothing was charged"
        )
    order = replace(order, job=reply.job)
    write_bytes(path, encode(order))
    return order


def _wait(place: Path, vendor: Vendor, order: Order, timeout_s: float, poll_s: float) -> Order:
    """Wait until an order is done, or note that it failed."""
    until, job = time.monotonic() + timeout_s, order.job
    while True:
        now = _patiently(lambda: vendor.progress(job), order, until)
        if now.state == "done":
            return order
        if now.state == "failed":
            order = replace(order, failed=now.reason or "a failure without a reason")
            write_bytes(order_path(place), encode(order))
            return order
        if time.monotonic() + poll_s > until:
            raise PairError(
                f"expected {order.vendor} to finish order {order.job} within {timeout_s:g} s, got "
                "no end: run the same command again, which waits for the same order and pays "
                "nothing more"
            )
        time.sleep(poll_s)


def _patiently(ask: Callable[[], T], order: Order, until: float) -> T:
    """Ask again while no answer comes; questions are free."""
    pause_s = 0.5
    while True:
        try:
            return ask()
        except requests.RequestException as error:
            status = getattr(error.response, "status_code", None)
            final = status is not None and status < 500 and status not in (408, 425, 429)
            if final or time.monotonic() + pause_s > until:
                raise _unreachable(order, error) from error
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 10.0)


def _unreachable(order: Order, error: Exception) -> PairError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    got = type(error).__name__ if status is None else f"status {status}"
    return PairError(
        f"expected an answer of {order.vendor}, got {got}: check the network and the key, and run "
        "the same command again, which pays nothing twice"
    )
