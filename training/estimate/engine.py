"""What a live engine holds: the torch engine's own buffers and stages, run on fake tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from realmaster_live.engines.sizes import check_size
from realmaster_live.engines.torch.buffers import Buffers
from realmaster_live.engines.torch.expert import Expert, Passes
from realmaster_live.engines.torch.stages import Stages
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.model.autoencoders.interface import Autoencoder
from realmaster_live.model.autoencoders.opening import make_autoencoder
from realmaster_live.model.cost import RUNTIME_BYTES, prompt_tokens
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.networks import expert_at
from realmaster_live.model.precision import mix_precision
from realmaster_live.model.profile import Profile
from realmaster_live.model.sampling import sigmas
from realmaster_live.prompts import PromptTable
from realmaster_live.training.estimate.meter import Meter
from realmaster_live.training.estimate.shapes import bytes_of, fake_tensors, tensors_of, usual_size

Precision = Literal["bf16", "fp32"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMemory:
    """The memory of an engine.

    Attributes:
        title: the engine in words.
        held: what -> bytes that it holds all the time.
        stages: stage of a chunk -> bytes that it holds besides while it runs.
    """

    title: str
    held: Mapping[str, int]
    stages: Mapping[str, int]

    @property
    def bytes(self) -> int:
        """Return the most that is held at once, with the device's context and workspaces."""
        return sum(self.held.values()) + max(self.stages.values()) + RUNTIME_BYTES

    def lines(self) -> list[str]:
        """Return the report."""
        held = ", ".join(f"{name} {size / 1e9:.2f}" for name, size in self.held.items())
        stages = ", ".join(f"{name} {size / 1e9:.2f}" for name, size in self.stages.items())
        return [
            f"{self.title}: {self.bytes / 1e9:.1f} GB",
            f"held: {held}; CUDA's context and workspaces about {RUNTIME_BYTES / 1e9:.1f}",
            f"besides, while a stage runs: {stages}",
        ]


def estimate_engine(
    profile: Profile,
    size: tuple[int, int] | None = None,  # width, height in pixels
    *,
    precision: Precision = "bf16",
    autoencoder: Autoencoder | None = None,
) -> EngineMemory:
    """Return what the torch engine of a profile holds, uncompiled; needs neither weights nor GPU.

    The `autoencoder`, by default the public one of the profile, is moved to the meta device.

    Raises:
        EngineError: the size does not fit the profile.
    """
    width, height = size or usual_size(profile)
    check_size(width, height, profile.token_stride)
    with torch.device("meta"):
        coder = make_autoencoder(profile) if autoencoder is None else autoencoder.to("meta")
        networks = [InContextTransformer(profile) for _ in range(profile.experts)]
        for module in (coder, *networks):
            module.eval().requires_grad_(False)
            if precision == "bf16":
                mix_precision(module)
    bf16 = precision == "bf16"
    dtype = torch.bfloat16 if bf16 else torch.float32
    spec = ChunkSpec(
        frames=profile.chunk_frames,
        first_frames=profile.first_frames,
        height=height,
        width=width,
        fps=20.0,
    )
    modules = [coder, *networks]
    with (
        torch.no_grad(),
        fake_tensors(modules),
        Meter(tensors_of(*modules)) as meter,
        torch.autocast("cpu", torch.bfloat16, enabled=bf16, cache_enabled=False),
    ):
        stages = _open(coder, networks, spec, dtype)
        held = {
            "autoencoder": bytes_of(tensors_of(coder)),
            "transformer": bytes_of(tensors_of(*networks)),
            "keys, values and pictures": meter.bytes,
        }
        found = _run(stages, meter)
    return EngineMemory(
        title=f"{profile.name} with {profile.autoencoder} at {width}x{height} in {precision}",
        held=held,
        stages=found,
    )


def _open(
    autoencoder: Autoencoder,
    networks: list[InContextTransformer],
    spec: ChunkSpec,
    dtype: torch.dtype,
) -> Stages:
    """Return an engine's stages over buffers whose past is full."""
    profile = networks[0].profile
    levels = sigmas(profile.steps, profile.shift)
    buffers = Buffers(
        profile,
        autoencoder,
        spec,
        torch.device("cpu"),
        levels,
        0,
        dtype,
        prompt_tokens(profile) if profile.text_width else 0,
        len(networks),
    )
    experts = [
        Expert(
            network,
            buffers,
            state,
            prompts=PromptTable({}),
            adapter=None,
            recompute=False,
            passes=Passes(),
        )
        for network, state in zip(networks, buffers.states, strict=True)
    ]
    for _ in range(profile.sink + profile.ring):
        buffers.step()
    serving = [experts[expert_at(profile, t)] for t in levels[:-1]]
    return Stages(autoencoder, serving, buffers, levels)


def _run(stages: Stages, meter: Meter) -> dict[str, int]:
    """Return what each stage of a chunk holds besides the buffers."""
    buffers = stages.buffers
    past, slots = buffers.past_tokens, buffers.slots
    work: dict[str, Callable[[], None]] = {
        "encode": stages.encode,
        "context": stages.context,
        "denoise": lambda: stages.denoise(past),
        "decode": stages.decode,
        "commit": lambda: stages.commit(past),
        "settle": lambda: stages.settle(slots),
    }
    found = {}
    for name, run in work.items():
        meter.restart()
        before = meter.bytes
        run()
        found[name] = meter.peak - before
    return found
