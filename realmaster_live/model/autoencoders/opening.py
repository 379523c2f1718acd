"""Makes the autoencoder of a profile, or the one that a checkpoint's tensors belong to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from realmaster_live.errors import BuildError
from realmaster_live.model.autoencoders import taehv, wan
from realmaster_live.model.autoencoders.interface import MEMORY_STRIDE, Autoencoder
from realmaster_live.model.autoencoders.render_head import head_of
from realmaster_live.model.profile import Profile
from realmaster_live.model.vae import StreamingAutoencoder
from realmaster_live.system.texts import read_object

LAYOUT_FILE = "autoencoder.json"  # in checkpoints with Wan's own autoencoder


def make_autoencoder(profile: Profile) -> Autoencoder:
    """Return a profile's untrained autoencoder at its public size."""
    if profile.autoencoder == "ours":
        return StreamingAutoencoder(profile)
    if profile.autoencoder == "taehv":
        patch = profile.latent_stride // MEMORY_STRIDE
        return taehv.Taehv(taehv.Layout(channels=profile.latent_channels, patch=patch))
    return wan.WanAutoencoder(wan.public_layout(profile.latent_channels, profile.latent_stride))


def autoencoder_of(profile: Profile, tensors: Mapping[str, Tensor], folder: Path) -> Autoencoder:
    """Return the autoencoder for a checkpoint folder's tensors, without loading them.

    Raises:
        BuildError: the autoencoder makes other latents than the profile states.
    """
    found: Autoencoder
    if profile.autoencoder == "taehv":
        layout = taehv.layout_of(tensors, source=str(folder))
        found = taehv.Taehv(layout, head_of(tensors, profile.latent_stride))
    elif profile.autoencoder == "wan":
        path = folder / LAYOUT_FILE
        config = read_object(
            path,
            what="the layout of Wan's autoencoder",
            remedy="import the model again",
            error=BuildError,
        )
        found = wan.WanAutoencoder(wan.Layout.from_dict(config, source=str(path)))
    else:
        found = StreamingAutoencoder(profile)
    check_latents(found, profile, source=str(folder))
    return found


def check_latents(autoencoder: Autoencoder, profile: Profile, *, source: str) -> None:
    """Raise BuildError unless an autoencoder makes the latents of a profile."""
    expected = profile.latent_channels, profile.latent_stride
    got = autoencoder.latent_channels, autoencoder.latent_stride
    if got != expected:
        other = {16: "Wan2.1 and Wan2.2-A14B", 48: "Wan2.2-TI2V-5B"}
        raise BuildError(
            f"expected an autoencoder of {expected[0]} channels and {expected[1]} pixels a "
            f"position for {profile.name}, got {got[0]} and {got[1]} from {source}: take the one "
            f"of {other.get(expected[0], 'the model')}"
        )
