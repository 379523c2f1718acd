"""The embedded simulators as processes of their own, for the demo and the benchmark."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from realmaster_live.errors import ConnectError
from realmaster_live.optional import require

READY = re.compile(r"ready on [\w.]+:(\d+)")
SILENT_S = 180.0  # a first start compiles the rasteriser, and says so kernel by kernel
LOOK_S = 0.5
STOP_S = 10.0
CARS = ("lincoln", "tesla.model3", "audi", "mercedes.coupe", "nissan", "citroen", "mini")


class LocalTown(NamedTuple):
    """A town in a process of its own."""

    port: int
    pid: int


@contextmanager
def local_town(
    *, seed: int, vehicles: int, walkers: int, port: int = 0, state_log: Path | None = None
) -> Iterator[int]:
    """Run minitown as long as the context lasts; gives its port.

    Raises:
        ConnectError: it did not start; the message holds the last line of its log.
    """
    log = [f"--state-log={state_log}"] if state_log is not None else []
    with town_process(seed, f"--port={port}", *log, vehicles=vehicles, walkers=walkers) as town:
        yield town.port


@contextmanager
def town_process(seed: int, *options: str, vehicles: int, walkers: int) -> Iterator[LocalTown]:
    """Run minitown as `local_town` does, with more of its options."""
    town = (f"--seed={seed}", f"--vehicles={vehicles}", f"--walkers={walkers}")
    with _running("minitown", "--port=0", *town, *options) as found:
        yield found


@contextmanager
def local_game(*, seed: int) -> Iterator[str]:
    """Run the town in GTA-V's place as long as the context lasts; gives its URL.

    Raises:
        ConnectError: it did not start; the message holds the last line of its log.
    """
    url = "deepgtav+tcp://127.0.0.1"
    with _running("gta-standin", f"{url}:0", f"--town={seed}") as game:
        yield f"{url}:{game.port}"


@contextmanager
def _running(verb: str, *arguments: str) -> Iterator[LocalTown]:
    """Run `realmaster verb` as long as the context lasts."""
    parent = f"--exit-with-parent={os.getpid()}"
    command = [sys.executable, "-m", "realmaster_live", verb, *arguments, parent]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        try:
            yield LocalTown(_wait_until_ready(process, errors, verb), process.pid)
        finally:
            _stop(process)


def pick_ego(port: int, *, host: str = "127.0.0.1", timeout_s: float = 20.0) -> int:
    """Return the actor id of a car that drives by itself in the town.

    Raises:
        ConnectError: the town has none, or does not answer.
    """
    carla = require("carla", extra="carla")
    client = carla.Client(host, port, 1)
    client.set_timeout(timeout_s)
    try:
        world = client.get_world()
        world.wait_for_tick(timeout_s)
        vehicles = sorted(world.get_actors().filter("vehicle.*"), key=lambda actor: actor.id)
    except RuntimeError as error:
        raise ConnectError(
            f"expected a town at {host}:{port}, got {error}: start it again"
        ) from error
    for maker in CARS:
        for vehicle in vehicles:
            if maker in vehicle.type_id:
                return int(vehicle.id)
    raise ConnectError(
        f"expected a car in the town at {host}:{port}, got {len(vehicles)} other vehicles: start "
        "it with more vehicles"
    )


def _wait_until_ready(process: subprocess.Popen[str], errors: IO[str], verb: str) -> int:
    assert process.stdout is not None
    is_over, is_silent = threading.Event(), threading.Event()

    def watch() -> None:
        said, since = 0, time.monotonic()
        while not is_over.wait(LOOK_S):
            size = os.fstat(errors.fileno()).st_size
            if size != said:
                said, since = size, time.monotonic()
            elif time.monotonic() - since > SILENT_S:
                is_silent.set()
                process.kill()
                return

    watching = threading.Thread(target=watch, name="rm-town-start", daemon=True)
    watching.start()
    try:
        for line in process.stdout:
            found = READY.search(line)
            if found:
                return int(found[1])
    finally:
        is_over.set()
        watching.join()
    process.wait()
    errors.seek(0)
    last = (errors.read().strip().splitlines() or ["nothing"])[-1]
    if is_silent.is_set():
        raise ConnectError(
            f"expected the embedded town to start, got nothing for {SILENT_S:.0f} s after "
            f"{last!r}: run the command again, which goes on where this start ended, or stop what "
            "else uses the processor"
        )
    raise ConnectError(
        f"expected the embedded town to start, got exit status {process.returncode} and {last!r}: "
        f"run realmaster {verb} to see why"
    )


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    assert process.stdout is not None
    process.stdout.close()
