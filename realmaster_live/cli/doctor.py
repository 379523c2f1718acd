"""`realmaster doctor`: what is installed, what is missing, and what a profile would need."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Literal

from realmaster_live.cli.values import Flag, Port
from realmaster_live.errors import ConfigError

if TYPE_CHECKING:
    from realmaster_live.system.doctor import Finding

DEFAULT_SIZES = {  # profile -> (width, height)
    "embedded": (512, 288),
    "wan-1.3b-480": (832, 480),
    "wan-5b-704": (1280, 704),
    "wan-a14b": (832, 480),
}


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Say what is installed, what is missing, and how to get it.

    Attributes:
        host: Host on which to look for a CARLA server.
        port: Port on which to look for a CARLA server.
        clean: Put right what killed clients left in the world of the CARLA server: destroy their
            cameras, and let a synchronous world that nobody ticks run freely.
        json: Print the findings as JSON.
        profile: Say what this model needs instead, such as wan-1.3b-480.
        size: Size of the pictures for --profile. Without it, the model's usual one.
        steps: Denoising steps for --profile. Without it, the model's own.
        gpu: The GPU for --profile: h100, a100, l40s or rtx4090.
    """

    host: str = "127.0.0.1"
    port: Port = 2000
    clean: bool = False
    json: bool = False
    profile: Annotated[str | None, Flag(metavar="NAME")] = None
    size: tuple[int, int] | None = None
    steps: Literal[1, 2, 4, 8] | None = None
    gpu: Annotated[str, Flag(metavar="NAME")] = "h100"


def run(options: Doctor) -> int:
    """Print the findings; 1 if something that the demo needs is missing."""
    if options.profile:
        sys.stdout.write(_needs(options, options.profile))
        return 0
    if options.clean:
        sys.stdout.write("\n".join(_clean(options.host, options.port)) + "\n")
        return 0
    from realmaster_live.system.doctor import examine

    findings = examine(host=options.host, port=options.port)
    if options.json:
        text = json.dumps([asdict(finding) for finding in findings], indent=2)
    else:
        text = "\n".join(_lines(findings))
    sys.stdout.write(text + "\n")
    return int(any(finding.state == "missing" for finding in findings))


def _clean(host: str, port: int) -> Sequence[str]:
    """Put a world right; return what was done and what was left alone, a sentence each."""
    from realmaster_live.bridges.carla.leftovers import clean

    cleaning = clean(host, port)
    return (*cleaning.done, *cleaning.left) or (f"nothing to put right at {host}:{port}",)


def _needs(options: Doctor, name: str) -> str:
    """Return what a profile needs at a picture size, and what a GPU could do at most."""
    from realmaster_live.engines.sizes import check_size
    from realmaster_live.model.cost import GPUS, cost
    from realmaster_live.model.profile import PROFILES

    for kind, given, known in (("profile", name, PROFILES), ("GPU", options.gpu, GPUS)):
        if given not in known:
            raise ConfigError(f"expected a {kind} among {', '.join(known)}, got {given!r}: use one")
    profile = PROFILES[name]
    width, height = options.size or DEFAULT_SIZES[profile.name]
    check_size(width, height, profile.token_stride)
    need = cost(profile, height=height, width=width, steps=options.steps)
    tflops, source = GPUS[options.gpu]
    experts = f" in {profile.experts} experts" if profile.experts > 1 else ""
    return (
        f"{profile.name} at {width}x{height}, {options.steps or profile.steps} steps, "
        f"{profile.chunk_frames} frames a chunk\n"
        f"  parameters   {need.parameters / 1e9:.3f} billion{experts}\n"
        f"  work         {need.flop / 1e12:.3g} TFLOP a chunk, without the autoencoder\n"
        f"  memory       {need.bytes / 1e9:.2f} GB in bfloat16: weights "
        f"{need.weight_bytes / 1e9:.2f}, keys and values {need.kv_bytes / 1e9:.2f}, activations "
        f"{need.activation_bytes / 1e9:.2f}\n"
        f"  {options.gpu:11}  at most {need.frames_per_second(profile, tflops):.0f} frames/s at "
        f"{tflops:.0f} TFLOP/s ({source}), by arithmetic\n"
    )


def _lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Yield the report line by line; without rich, which may be what is missing."""
    width = max(len(finding.name) for finding in findings)
    for group, members in groupby(findings, key=lambda finding: finding.group):
        yield group
        for finding in members:
            yield f"  {finding.state:8}{finding.name:{width}}  {finding.detail}"
            if finding.remedy:
                yield f"  {'':8}{'':{width}}  -> {finding.remedy}"
    if all(finding.state != "missing" for finding in findings):
        yield "realmaster demo has all it needs"
