"""The networks of a profile: one autoencoder, and a transformer for each expert.

Two experts share the noise levels, as in Wan2.2-A14B: the first serves the noisier ones.
"""

from __future__ import annotations

from realmaster_live.errors import BuildError
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import Profile
from realmaster_live.model.vae import StreamingAutoencoder

Networks = tuple[StreamingAutoencoder, *tuple[InContextTransformer, ...]]


def check_experts(profile: Profile, count: int) -> None:
    """Raise BuildError where there are not as many transformers as a profile has experts."""
    if count != profile.experts:
        raise BuildError(
            f"expected {profile.experts} transformers of {profile.name}, one an expert, got "
            f"{count}: give all of them, the one for the noisier timesteps first"
        )


def expert_at(profile: Profile, t: float) -> int:
    """Return which expert serves timestep t in 0..1: the first from the boundary on."""
    return 0 if profile.experts == 1 or t >= profile.expert_boundary else 1
