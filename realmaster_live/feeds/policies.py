"""What a listener gets while a chunk is not realized yet: the latency policies, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from realmaster_live.errors import ConfigError

if TYPE_CHECKING:
    from realmaster_live.frames.chunk import ChunkSpec

LatencyPolicy = Literal["hold", "delay", "lockstep", "two_pass", "frame"]
DEFAULT: LatencyPolicy = "hold"  # under it a loop that waits for its own image keeps running


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What a policy does.

    Attributes:
        at_once: an image is delivered when it comes, with whatever pixels there are by then;
            otherwise when its own chunk is realized.
        photoreal: whether pixels are replaced at all while the camera listens.
        waiting_chunks: whole chunks that may wait for the engine; then the oldest of them goes,
            or, where nothing may be lost, whoever delivers pictures waits.
        starves: whether a loop that waits for the image of its tick may wait forever.
        text: the sentence of the log; `late` and `chunk` are filled in.
    """

    at_once: bool
    photoreal: bool = True
    waiting_chunks: int = 1
    starves: bool = False
    text: str


POLICIES: Mapping[LatencyPolicy, Policy] = {
    "hold": Policy(
        at_once=True,
        text="every image comes at once, with the newest photoreal pixels there are, so a loop "
        "that waits for the image of its tick goes on; the pixels are of an earlier frame",
    ),
    "delay": Policy(
        at_once=False,
        waiting_chunks=3,
        starves=True,
        text="each image comes up to {late} frames after its tick, with its own pixels; a loop "
        "that waits for the image of its tick would wait forever",
    ),
    "lockstep": Policy(
        at_once=False,
        waiting_chunks=3,
        text="a tick runs through {chunk} steps of the world, then the images of all of them "
        "come, each with its own pixels; a control holds for the whole chunk",
    ),
    "two_pass": Policy(
        at_once=True,
        photoreal=False,
        text="images come at once as the simulator drew them and are recorded; once the camera "
        "stops, the recording is realized",
    ),
    "frame": Policy(
        at_once=False,
        text="each image comes once it is realized alone, with its own pixels; a loop that waits "
        "for it waits for the engine",
    ),
}


def policy_of(name: str) -> Policy:
    """Return the policy of a name; raise ConfigError for one there is not."""
    for known in get_args(LatencyPolicy):
        if known == name:
            return POLICIES[known]
    raise ConfigError(
        f"expected policy {', '.join(POLICIES)}, got {name!r}: {DEFAULT} keeps every loop running"
    )


def explained(name: str, spec: ChunkSpec) -> str:
    """Return what a policy means with an engine's chunks, as one sentence without a full stop."""
    late, chunk = max(spec.frames, spec.first_frames) - 1, spec.frames
    return f"{policy_of(name).text.format(late=late, chunk=chunk)} (policy {name})"
