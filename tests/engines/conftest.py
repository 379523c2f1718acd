import pytest
import torch

from realmaster_live.model.checkpoint import save_checkpoint
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import TINY
from realmaster_live.model.vae import StreamingAutoencoder


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory):
    """A checkpoint of random weights in which every part has a say in the answer."""
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(3)
    autoencoder, transformer = StreamingAutoencoder(TINY), InContextTransformer(TINY)
    with torch.no_grad():
        for module in (autoencoder, transformer):
            for parameter in module.parameters():
                if not parameter.any():
                    parameter.copy_(0.1 * torch.randn(parameter.shape))
        autoencoder.latents_mean.normal_(std=0.05)
        autoencoder.latents_std.uniform_(0.2, 0.5)
    save_checkpoint(folder, autoencoder, transformer)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tiny_checkpoint, tmp_path_factory):
    """The checkpoint, exported."""
    from realmaster_live.engines.export.export import export

    folder = tmp_path_factory.mktemp("exported")
    export(tiny_checkpoint, folder, height=64, width=96, facts={"data": "none: random weights"})
    return folder
