"""A model's sizes: one frozen dataclass, shared by training, export and engines."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from realmaster_live.errors import BuildError

Prediction = Literal["x0", "velocity"]
FlowFrom = Literal["noise", "render"]
AutoencoderName = Literal["ours", "taehv", "wan"]
FIRST_LATENT_FRAMES = {"taehv": 1, "wan": 1}  # our autoencoder's first latent is like all others
CHOICES = {
    "prediction": get_args(Prediction),
    "flow_from": get_args(FlowFrom),
    "autoencoder": get_args(AutoencoderName),
}
MAX_NUMBER = 2**20  # limit for all numbers in a profile
MAY_BE_ZERO = ("text_width", "prompt_tokens", "ring", "sink", "memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Everything that determines the shapes of a model's tensors, and its sampling.

    Attributes:
        name: the name by which users select it.
        autoencoder: the autoencoder of the latents: "ours", "taehv" (tiny) or "wan" (Wan's own).
        chunk_frames: frames in one chunk.
        chunk_latents: latent frames of one chunk.
        latent_channels: channels of a latent position.
        latent_stride: pixels along one side of a latent position.
        patch: latent positions along one side of a token.
        width: width of the transformer.
        layers: transformer blocks.
        heads: attention heads.
        hidden: width inside a block's feed-forward.
        text_width: channels of a prompt's embeddings; 0 where there are no prompts.
        prompts: names of the prompts whose embeddings are learnt with the model; empty if a text
            encoder makes them. The first is used when no prompt is given.
        prompt_tokens: number of tokens of a learnt prompt.
        aligned: whether the reference token at the same position is added to each target token
            through a projection (diffusers' model has no such layer).
        prediction: "x0", predicted as a residual on the reference, or "velocity".
        flow_from: "noise", with the render as in-context reference, or "render": the flow starts at
            the render's own latent, and there are no reference tokens.
        experts: number of transformers; two divide the noise levels at `expert_boundary`.
        expert_boundary: the first expert serves timesteps at and above this one.
        frequency_width: number of sinusoids in a timestep's embedding.
        rope_theta: base of the rotary frequencies.
        ring: number of most recent chunks whose keys and values a target attends to.
        sink: number of first chunks after a reset that stay in the cache for the whole run.
        steps: default number of denoise steps of a chunk.
        shift: timestep shift of flow matching.
        half: channels per frame at half of the resolution.
        fine: channels per frame at a quarter.
        middle: channels at an eighth.
        deep: channels at a sixteenth.
        memory: channels, at an eighth, of the feature map carried from chunk to chunk.
        falling: whether the decoder has a `Precipitation` layer, which draws rain and snow.
        geometry: whether the decoder is also guided by `model.geometry_guide`, where it is known.
        light: whether the encoder is also guided by `model.light_guide`, where it is known.
    """

    name: str
    autoencoder: AutoencoderName = "ours"
    chunk_frames: int = 4
    chunk_latents: int = 1
    latent_channels: int = 48
    latent_stride: int = 16
    patch: int = 2
    width: int = 256
    layers: int = 6
    heads: int = 4
    hidden: int = 1024
    text_width: int = 0
    prompts: tuple[str, ...] = ()
    prompt_tokens: int = 0
    aligned: bool = True
    prediction: Prediction = "x0"
    flow_from: FlowFrom = "noise"
    experts: int = 1
    expert_boundary: float = 1.0
    frequency_width: int = 64
    rope_theta: float = 10_000.0
    ring: int = 1
    sink: int = 0
    steps: int = 2
    shift: float = 5.0
    half: int = 32
    fine: int = 32
    middle: int = 128
    deep: int = 192
    memory: int = 32
    falling: bool = False
    geometry: bool = False
    light: bool = False

    @property
    def in_context(self) -> bool:
        """Return whether targets attend to tokens of the reference."""
        return self.flow_from == "noise"

    @property
    def first_frames(self) -> int:
        """Return the frames of the first chunk after a reset."""
        latent = self.chunk_frames // self.chunk_latents
        return self.chunk_frames - latent + FIRST_LATENT_FRAMES.get(self.autoencoder, latent)

    @property
    def head_width(self) -> int:
        """Return the channels of one attention head."""
        return self.width // self.heads

    @property
    def token_stride(self) -> int:
        """Return a token's side in pixels; picture heights and widths are multiples of it."""
        return self.latent_stride * self.patch

    @property
    def token_channels(self) -> int:
        """Return the latent values in one token."""
        return self.latent_channels * self.patch**2

    @property
    def rope_widths(self) -> tuple[int, int, int]:
        """Return the channels of a head that rotate with t, y and x (Wan's split)."""
        side = 2 * (self.head_width // 6)
        return self.head_width - 2 * side, side, side

    def latent_shape(self, height: int, width: int) -> tuple[int, ...]:
        """Return a chunk's (1, C, F, h, w), without F where it is 1, for a picture's pixels."""
        frames = (self.chunk_latents,) if self.chunk_latents > 1 else ()
        grid = height // self.latent_stride, width // self.latent_stride
        return (1, self.latent_channels, *frames, *grid)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Any, *, source: str = "a profile") -> Profile:
        """Return the profile that `as_dict` described; `source` is named in errors.

        Raises:
            BuildError: a field is unknown, missing, of another type or out of range.
        """
        if not isinstance(fields, dict) or not isinstance(fields.get("name"), str):
            raise BuildError(
                f"expected an object with a name and other fields as {source}, got "
                f"{_shown(fields)}: export the checkpoint again"
            )
        known = {field.name: field.default for field in dataclasses.fields(cls)}
        unknown = sorted(set(fields) - set(known))
        if unknown:
            raise BuildError(
                f"expected profile fields among {sorted(known)} in {source}, got "
                f"{_shown(unknown)}: "
                "the checkpoint was written by another version; export it again"
            )
        for name, value in fields.items():
            expected = _expected(name, known[name], value)
            if expected:
                raise BuildError(
                    f"expected {expected} as {name} of {source}, got {_shown(value)}: "
                    "export the checkpoint again"
                )
        profile = cls(**{**fields, "prompts": tuple(fields.get("prompts", ()))})
        if profile.width % profile.heads or profile.head_width % 2:
            raise BuildError(
                f"expected a width of {profile.heads} even heads in {source}, got "
                f"{profile.width}: export the checkpoint again"
            )
        if profile.autoencoder != "ours" and (profile.geometry or profile.light):
            raise BuildError(
                f"expected geometry or light in {source} with the autoencoder ours, got "
                f"{profile.autoencoder}: leave them out"
            )
        return profile


def _expected(name: str, default: Any, value: Any) -> str:
    """Return what is expected of a field, or an empty text if the value is valid."""
    if name == "prompts":
        texts = isinstance(value, list | tuple) and all(isinstance(each, str) for each in value)
        return "" if texts else "a list of texts"
    if name in CHOICES:
        return "" if value in CHOICES[name] else f"one of {CHOICES[name]}"
    if isinstance(default, bool):
        return "" if isinstance(value, bool) else "true or false"
    if isinstance(default, int):
        least = 0 if name in MAY_BE_ZERO else 1
        whole = isinstance(value, int) and not isinstance(value, bool)
        return (
            ""
            if whole and least <= value <= MAX_NUMBER
            else f"a whole number from {least} to {MAX_NUMBER}"
        )
    if isinstance(default, float):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return (
            "" if number and 0 < value <= MAX_NUMBER else f"a number above 0 and up to {MAX_NUMBER}"
        )
    return "" if isinstance(value, str) else "a text"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


EMBEDDED = Profile(
    name="embedded",
    text_width=64,
    prompts=("as simulated", "clear", "rain", "snow", "fog", "night", "overcast"),
    prompt_tokens=4,
    falling=True,
)
"""The small model that is trained on minitown pairs and shipped with the package."""

TINY = Profile(
    name="tiny",
    latent_channels=8,
    width=48,
    layers=2,
    heads=2,
    hidden=64,
    text_width=12,
    prompts=("as simulated", "clear", "rain"),
    prompt_tokens=3,
    frequency_width=16,
    half=8,
    fine=8,
    middle=16,
    deep=16,
    memory=8,
    falling=True,
    geometry=True,
    light=True,
)
"""The same network at a size for tests: a pass takes milliseconds."""

WAN_1_3B = Profile(
    name="wan-1.3b-480",
    autoencoder="taehv",
    chunk_frames=12,
    chunk_latents=3,
    latent_channels=16,
    latent_stride=8,
    width=1536,
    layers=30,
    heads=12,
    hidden=8960,
    text_width=4096,
    aligned=False,
    prediction="velocity",
    frequency_width=256,
    ring=1,
    sink=1,
)
"""Wan2.1-T2V-1.3B (Apache-2.0), made chunk-causal: 480 x 832 live on one GPU."""

WAN_5B = replace(
    WAN_1_3B,
    name="wan-5b-704",
    latent_channels=48,
    latent_stride=16,
    width=3072,
    heads=24,
    hidden=14336,
)
"""Wan2.2-TI2V-5B (Apache-2.0): at 704 x 1280 cheaper than the smaller model with finer tokens."""

WAN_5B_ONE_STEP = replace(
    WAN_5B, name="wan-5b-704-one-step", flow_from="render", steps=1, ring=0, sink=0
)
"""The same model in one step from the render's latent, without noise, reference tokens and past."""

WAN_A14B = replace(
    WAN_1_3B,
    name="wan-a14b",
    autoencoder="wan",
    width=5120,
    layers=40,
    heads=40,
    hidden=13824,
    steps=4,
    experts=2,
    expert_boundary=0.875,
)
"""Wan2.2-T2V-A14B (Apache-2.0): two experts of 14B, for recordings, not live."""

PROFILES = {
    profile.name: profile for profile in (EMBEDDED, WAN_1_3B, WAN_5B, WAN_5B_ONE_STEP, WAN_A14B)
}
