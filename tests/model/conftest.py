"""A small Wan transformer, and an adapter of it in a file."""

import pytest


@pytest.fixture
def wan():
    """The transformer, of random weights."""
    from tiny_wan import make_wan

    return make_wan()


@pytest.fixture
def file(tmp_path, wan):
    """A file in the diffusers scheme."""
    from lora_samples import FACTS, attach_trained

    from realmaster_live.model.lora_files import save

    path = tmp_path / "lora.safetensors"
    adapter = attach_trained(wan)
    save(path, adapter, scheme="diffusers", facts=FACTS)
    adapter.detach()
    return path
