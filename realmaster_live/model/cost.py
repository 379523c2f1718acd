"""What a profile costs: parameters, work and memory of a chunk, by arithmetic; needs no torch.

The autoencoder, the text encoder and the per-step modulations are left out: together they are a few
percent of the large profiles, and the autoencoder of a live run is a small one of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from realmaster_live.model.profile import Profile

PROMPT_TOKENS = 512  # Wan's text length
BYTES = 2  # of a bfloat16
GPUS = {  # dense bfloat16 TFLOP/s: measured with large matrix products, or the maker's figure
    "h100": (798.0, "measured"),
    "a100": (312.0, "the maker's figure"),
    "l40s": (362.0, "the maker's figure"),
    "rtx4090": (165.0, "the maker's figure"),
}


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one chunk of a picture size costs.

    Attributes:
        tokens: of a chunk's target. reference_tokens: of its rendered latents.
        parameters: of all experts' transformers.
        flop: floating point operations of a chunk, two for each multiply-add.
        weight_bytes: of the transformers in bfloat16.
        kv_bytes: of all keys and values at their largest, in bfloat16.
        activation_bytes: of the widest moment inside a block, in bfloat16.
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
        """Return the memory in all."""
        return self.weight_bytes + self.kv_bytes + self.activation_bytes

    def frames_per_second(self, profile: Profile, tflops: float) -> float:
        """Return the frames a second of a device that does so many TFLOP/s on everything."""
        return profile.chunk_frames * tflops * 1e12 / self.flop


def parameters(profile: Profile) -> int:
    """Return the parameters of one transformer."""
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
    """Return the tokens of a prompt: learnt ones, or a text encoder's."""
    return profile.prompt_tokens or PROMPT_TOKENS


def pass_flop(profile: Profile, queries: int, keys: int) -> float:
    """Return the work of one pass: so many tokens that see so many keys."""
    width = profile.width
    linear = 4 * width * width + 2 * width * profile.hidden
    attention = 2 * keys * width
    if profile.text_width:
        linear += 2 * width * width  # query and output; keys and values are kept for a prompt
        attention += 2 * prompt_tokens(profile) * width
    ends = 2 * profile.token_channels * width
    return 2.0 * queries * (profile.layers * (linear + attention) + ends)


def cost(
    profile: Profile,
    *,
    height: int,
    width: int,
    steps: int | None = None,
    cached: bool = True,
    reference_downscale: int = 1,
) -> Cost:
    """Return the cost of a chunk in the steady state, when ring and sink are full.

    `cached` False is the public form of an IC-LoRA: reference tokens go through every denoise pass
    and see the target. `reference_downscale` is how many times smaller the reference is. Each
    expert makes its own passes over the reference and the clean target, and keeps their keys.
    """
    steps = profile.steps if steps is None else steps
    grid = (height // profile.token_stride) * (width // profile.token_stride)
    tokens = profile.chunk_latents * grid
    known = tokens // reference_downscale**2
    past = (profile.ring + profile.sink) * tokens
    keys = tokens + known + past
    denoise = pass_flop(profile, tokens, keys)
    around = denoise  # the pass that fills the ring
    if cached:
        around += pass_flop(profile, known, known)
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
