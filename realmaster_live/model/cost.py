"""Estimates a profile's cost without torch: parameters, operations and memory of a chunk.

Autoencoder, text encoder and per-step modulations are left out. Together they are a few percent of
the large profiles' cost, and live runs use a small autoencoder.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from realmaster_live.model.profile import Profile

PROMPT_TOKENS = 512  # Wan's text length
BYTES = 2  # size of a bfloat16
AUTOENCODER_BYTES = 365  # a pixel of a chunk: what TAEHV holds while it encodes, on fake tensors
ACTIVATIONS = 2  # factor on a block's activations: float32 sums beside bfloat16 products
RUNTIME_BYTES = 2**29  # a CUDA context with its libraries' workspaces
GPUS = {  # dense bfloat16 TFLOP/s: measured on large matrix products, or the maker's figure
    "h100": (798.0, "measured"),
    "a100": (312.0, "the maker's figure"),
    "l40s": (362.0, "the maker's figure"),
    "rtx4090": (165.0, "the maker's figure"),
}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of one chunk at a picture size.

    Attributes:
        tokens: number of target tokens. reference_tokens: number of tokens of the render.
        parameters: number of parameters of all experts' transformers.
        flop: floating point operations of a chunk, two for each multiply-add.
        weight_bytes: size of the transformers in bfloat16.
        kv_bytes: size of all cached keys and values with a full ring, in bfloat16.
        activation_bytes: peak size of the activations inside a block, in bfloat16.
    """

    tokens: int
    reference_tokens: int
    parameters: int
    flop: float
    weight_bytes: int
    kv_bytes: int
    activation_bytes: int

    @property
    def bytes(self) -> int:
        """Return the total memory in bytes."""
        return self.weight_bytes + self.kv_bytes + self.activation_bytes

    def frames_per_second(self, profile: Profile, tflops: float) -> float:
        """Return the frames per second on a device that sustains this many TFLOP/s."""
        return profile.chunk_frames * tflops * 1e12 / self.flop


def parameters(profile: Profile) -> int:
    """Return the number of parameters of one transformer."""
    width, hidden, token = profile.width, profile.hidden, profile.token_channels
    attention = 4 * (width * width + width) + 2 * width
    feed_forward = width * hidden + hidden + hidden * width + width
    block = attention + feed_forward + 6 * width
    embedders = (profile.frequency_width * width + width) + (width * width + width)
    embedders += 6 * width * width + 6 * width
    if profile.text_width:
        block += attention + 2 * width
        embedders += (profile.text_width * width + width) + (width * width + width)
    ends = (token * width + width) + (width * token + token) + 2 * width
    if profile.aligned:
        ends += (token * width + width) + 2 * width
    learnt = len(profile.prompts) * profile.prompt_tokens * profile.text_width
    return profile.layers * block + embedders + ends + learnt


def prompt_tokens(profile: Profile) -> int:
    """Return the number of tokens of a prompt, learnt or from a text encoder."""
    return profile.prompt_tokens or PROMPT_TOKENS


def pass_flop(profile: Profile, queries: int, keys: int) -> float:
    """Return the FLOP of one pass of `queries` tokens that attend to `keys` tokens."""
    width = profile.width
    linear = 4 * width * width + 2 * width * profile.hidden
    attention = 2 * keys * width
    if profile.text_width:
        linear += 2 * width * width  # query and output only: a prompt's keys and values are cached
        attention += 2 * prompt_tokens(profile) * width
    ends = 2 * profile.token_channels * width
    return 2.0 * queries * (profile.layers * (linear + attention) + ends)


def fill_flop(profile: Profile, queries: int, keys: int) -> float:
    """Return the FLOP of a pass that only computes keys and values.

    In the last block only the projections to keys and values are computed.
    """
    blocks = replace(profile, layers=profile.layers - 1)
    output = 2.0 * queries * profile.token_channels * profile.width
    last = 2.0 * queries * 2 * profile.width**2
    return pass_flop(blocks, queries, keys) - output + last


def cost(
    profile: Profile,
    *,
    height: int,
    width: int,
    steps: int | None = None,
    cached: bool = True,
    reference_downscale: int = 1,
) -> Cost:
    """Return the cost of a chunk in the steady state, with ring and sink full.

    `cached` False is the public form of an IC-LoRA, in which reference tokens go through every
    denoise pass and attend to the target. `reference_downscale` is the factor by which the
    reference is smaller than the target. Each expert makes its own passes over the reference and
    the clean target, and keeps their keys and values.
    """
    steps = profile.steps if steps is None else steps
    grid = (height // profile.token_stride) * (width // profile.token_stride)
    tokens = profile.chunk_latents * grid
    known = tokens // reference_downscale**2 if profile.in_context else 0
    past = (profile.ring + profile.sink) * tokens
    keys = tokens + known + past
    denoise = pass_flop(profile, tokens, keys)
    around = fill_flop(profile, tokens, keys) if past else 0.0  # the commit pass fills the ring
    if cached and profile.in_context:
        around += fill_flop(profile, known, known)
    else:
        denoise = pass_flop(profile, tokens + known, keys)
    count = profile.experts * parameters(profile)
    kv_channels = profile.experts * 2 * profile.layers * profile.width
    return Cost(
        tokens=tokens,
        reference_tokens=known,
        parameters=count,
        flop=profile.experts * around + steps * denoise,
        weight_bytes=BYTES * count,
        kv_bytes=kv_channels * (keys + prompt_tokens(profile)) * BYTES,
        activation_bytes=BYTES * tokens * (2 * profile.width + 2 * profile.hidden),
    )


def engine_bytes(
    profile: Profile, *, height: int, width: int, precision: str = "bf16", cameras: int = 1
) -> int:
    """Return the bytes of a live engine: weights, keys and values, and the largest activations.

    This is an upper estimate with the counting of `cost`; the autoencoder counts as
    `AUTOENCODER_BYTES` for each pixel of a chunk.
    """
    need = cost(profile, height=height, width=width)
    wide = 2 if precision == "fp32" else 1
    block_weights = 4 * profile.width**2 + 2 * profile.width * profile.hidden
    block_weights += 2 * profile.width**2 if profile.text_width else 0
    quantized = profile.experts * profile.layers * block_weights if precision == "fp8" else 0
    pixels = cameras * profile.chunk_frames * height * width
    around = pixels * AUTOENCODER_BYTES + RUNTIME_BYTES
    rest = cameras * (need.kv_bytes + ACTIVATIONS * need.activation_bytes)
    return wide * (need.weight_bytes + rest) - quantized + around
