"""The networks of a profile: an autoencoder, and a transformer for each expert.

Two experts divide the noise levels between them, as in Wan2.2-A14B: the first serves high noise.
"""

from __future__ import annotations

from realmaster_live.errors import BuildError
from realmaster_live.model.autoencoders.interface import Autoencoder
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import Profile

Networks = tuple[Autoencoder, *tuple[InContextTransformer, ...]]


def check_experts(profile: Profile, count: int) -> None:
    """Raise BuildError unless there is one transformer for each expert of a profile."""
    if count != profile.experts:
        raise BuildError(
            f"expected {profile.experts} transformers of {profile.name}, one for each expert, "
            f"got {count}: pass all of them, the one for the noisier timesteps first"
        )


def expert_at(profile: Profile, t: float) -> int:
    """Return the index of the expert for timestep t in [0, 1]: 0 at the boundary and above."""
    return 0 if profile.experts == 1 or t >= profile.expert_boundary else 1
