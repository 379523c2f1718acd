import pytest


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """The folder of an exported model with random weights."""
    torch = pytest.importorskip("torch")
    from realmaster_live.engines.export.export import export
    from realmaster_live.model.checkpoint import save_checkpoint
    from realmaster_live.model.dit import InContextTransformer
    from realmaster_live.model.profile import TINY
    from realmaster_live.model.vae import StreamingAutoencoder

    torch.manual_seed(3)
    checkpoint, folder = tmp_path_factory.mktemp("checkpoint"), tmp_path_factory.mktemp("model")
    save_checkpoint(checkpoint, StreamingAutoencoder(TINY), InContextTransformer(TINY))
    export(checkpoint, folder, height=64, width=128, facts={"data": "none: random weights"})
    return folder
