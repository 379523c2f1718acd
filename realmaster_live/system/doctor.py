"""What this machine has, what it lacks, and the command that installs it."""

from __future__ import annotations

import ctypes.util
import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from realmaster_live.errors import ConnectError, MissingDependency, reason
from realmaster_live.optional import pip_command
from realmaster_live.system.host import describe_host
from realmaster_live.system.nvidia import query_gpus

SERVER_TIMEOUT_S = 2.0
TICK_WAIT_S = 2.0
WORLD_TIMEOUT_S = 10.0  # a large map takes its time
State = Literal["ok", "missing", "absent"]  # absent: only a special use needs it
PACKAGES = {  # extra -> (distribution, what it is for)
    "live": (
        ("opencv-python", "pictures"),
        ("av", "video files"),
        ("onnxruntime", "the embedded engine"),
        ("pyarrow", "the table of a recording"),
        ("rich", "progress"),
        ("aiohttp", "the live page"),
    ),
    "carla": (("carla", "CARLA's own client"),),
    "minitown": (("numba", "the embedded town's pictures"), ("msgpack", "its wire protocol")),
    "ros2": (("cyclonedds", "ROS 2 topics"), ("rosbags", "their messages, and bags")),
    "foxglove": (("foxglove-sdk", "Foxglove's viewer, and MCAP files"),),
    "rerun": (("rerun-sdk", "Rerun's viewers and files"),),
    "camera": (("pyvirtualcam", "a virtual camera"),),
    "zmq": (("pyzmq", "frames over ZeroMQ"),),
    "metrics": (("prometheus-client", "metrics for Prometheus"),),
    "otel": (("opentelemetry-sdk", "traces"),),
    "gta": (("pyzmq", "games over ZeroMQ"), ("mss", "screens"), ("tifffile", "the game's buffers")),
    "truth": (("mitsuba", "path-traced truth"), ("pyoidn", "its denoiser")),
    "training": (("torch", "training"), ("diffusers", "base models"), ("peft", "adapters")),
    "tensorrt": (("tensorrt", "the GPU engine"), ("pycuda", "its buffers and streams")),
    "trt-rtx": (("tensorrt-rtx-cu13", "the GPU engine on RTX cards"),),
}
NEEDED = ("live", "carla", "minitown")  # by the demo; the rest is for special uses
LICENCES = (
    ("Wan2.1 and Wan2.2 checkpoints", "Apache-2.0: realized pictures may train other models"),
    (
        "LTX-2 checkpoints",
        "own licence: restricts commercial users and forbids training other models on the output",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the doctor's report.

    Attributes:
        group: what it belongs to. name: what was looked for. state: whether it was found.
        detail: the version, or what it is for. remedy: the command that installs or starts it.
    """

    group: str
    name: str
    state: State
    detail: str
    remedy: str = ""


def examine(*, host: str = "127.0.0.1", port: int = 2000) -> list[Finding]:
    """Look at everything; takes a second or two and changes nothing."""
    return [*_machine(), *_packages(), *_gpu(), _carla_server(host, port), *_weights()]


def _machine() -> Iterator[Finding]:
    about = describe_host()
    yield Finding(
        group="machine",
        name="processor",
        state="ok",
        detail=f"{about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB",
    )
    yield Finding(group="machine", name="system", state="ok", detail=str(about["system"]))
    yield Finding(group="machine", name="Python", state="ok", detail=str(about["python"]))
    yield Finding(
        group="machine", name="realmaster-live", state="ok", detail=version("realmaster-live")
    )


def _packages() -> Iterator[Finding]:
    for extra, packages in PACKAGES.items():
        for name, purpose in packages:
            group = f"packages [{extra}]"
            try:
                yield Finding(group=group, name=name, state="ok", detail=version(name))
            except PackageNotFoundError:
                yield Finding(
                    group=group,
                    name=name,
                    state="missing" if extra in NEEDED else "absent",
                    detail=f"for {purpose}",
                    remedy=pip_command(extra),
                )


def _gpu() -> Iterator[Finding]:
    cards = query_gpus("name", "driver_version", "memory.total")
    for name, driver, memory in cards:
        yield Finding(
            group="gpu", name=name, state="ok", detail=f"driver {driver}, {memory} MiB of memory"
        )
    if not cards:
        yield Finding(
            group="gpu",
            name="NVIDIA GPU",
            state="absent",
            detail="none found; the embedded engine runs on the processor",
        )
    if ctypes.util.find_library("cuda") is not None:
        yield Finding(group="gpu", name="libcuda", state="ok", detail="found by the loader")


def _carla_server(host: str, port: int) -> Finding:
    try:
        socket.create_connection((host, port), SERVER_TIMEOUT_S).close()
    except OSError as error:
        return Finding(
            group="simulator",
            name="server",
            state="absent",
            detail=f"none at {host}:{port} ({reason(error)})",
            remedy="start CARLA, or realmaster minitown",
        )
    from realmaster_live.bridges.carla.connection import connect, open_world
    from realmaster_live.bridges.carla.diagnosis import clean_command

    remedy = ""
    try:
        _, client, versions = connect(host, port, SERVER_TIMEOUT_S)
        client.set_timeout(WORLD_TIMEOUT_S)
        world = open_world(client, host, port, WORLD_TIMEOUT_S)
        text, is_left_behind = _described(world)
        detail = f"CARLA {versions.server} answers at {host}:{port}: {text}"
        if is_left_behind:
            remedy = f"if killed clients left that: {clean_command(host, port)}"
    except MissingDependency:
        detail = f"{host}:{port} is open; the carla package would tell whether CARLA answers there"
    except ConnectError as error:
        return Finding(
            group="simulator",
            name="server",
            state="absent",
            detail=str(error),
            remedy="wait until it has started, or give another --host and --port",
        )
    return Finding(group="simulator", name="server", state="ok", detail=detail, remedy=remedy)


def _described(world: Any) -> tuple[str, bool]:
    """Return map, ticks and cameras of killed clients, and whether there is something to clean."""
    from realmaster_live.bridges.carla.leftovers import our_sensors

    ticked, stands_still = "it runs freely", False
    if world.get_settings().synchronous_mode:
        ticked = "a client ticks it"
        try:
            world.wait_for_tick(TICK_WAIT_S)
        except RuntimeError:
            ticked, stands_still = f"synchronous, but no tick came in {TICK_WAIT_S:g} s", True
    orphans = len(our_sensors(world).orphans)
    cameras = f", with {orphans} cameras of killed clients" if orphans else ""
    text = f"episode {world.id}, map {world.get_map().name}, {ticked}{cameras}"
    return text, stands_still or orphans > 0


def _weights() -> Iterator[Finding]:
    from realmaster_live.engines.embedded import EMBEDDED_FOLDER

    manifest = EMBEDDED_FOLDER / "manifest.json"
    if manifest.is_file():
        content = json.loads(manifest.read_text(encoding="utf-8"))
        size = sum(entry["bytes"] for entry in content["files"].values()) / 2**20
        detail = f"{size:.1f} MiB, licence {content['licence']}"
        yield Finding(group="weights", name="embedded model", state="ok", detail=detail)
    else:
        yield Finding(
            group="weights",
            name="embedded model",
            state="missing",
            detail=f"no {manifest}",
            remedy="pip install --force-reinstall realmaster-live",
        )
    for name, terms in LICENCES:
        yield Finding(
            group="licence of a base model you bring", name=name, state="ok", detail=terms
        )
