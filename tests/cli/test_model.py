"""`realmaster model import`, then `export` with an adapter: the graphs answer as torch."""

import numpy as np
import pytest
import torch
from tiny_autoencoders import make
from tiny_umt5 import save_encoder
from wan_folder import make_folder

from realmaster_live.cli import main
from realmaster_live.engines.onnx_engine import OnnxEngine
from realmaster_live.engines.program.rehearsal import noise_chunk, rehearse
from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.model.lora import attach
from realmaster_live.model.lora_facts import LoraFacts
from realmaster_live.model.lora_files import save
from realmaster_live.training.iclora.base import BaseConfig, load_base

SIZE = {"width": 96, "height": 64}
TEXT = "rain falls on the road"


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A folder of a pipeline with its text encoder, a tiny autoencoder's file and a LoRA."""
    place = tmp_path_factory.mktemp("wan")
    save_encoder(make_folder(place / "WAN", dtype=torch.bfloat16))
    torch.save(make("taew2_1").state_dict(), place / "taew2_1.pth")
    base = load_base(BaseConfig(checkpoint=str(place / "WAN")))
    made = attach(base.transformer, rank=2, generator=torch.Generator().manual_seed(0))
    for low_rank in made.low_ranks.values():
        torch.nn.init.normal_(low_rank.up, std=0.1)
    facts = LoraFacts(base_model="tiny", base_sha256=base.sha256, licence="Apache-2.0")
    save(place / "adapter.safetensors", made, scheme="diffusers", facts=facts)
    return place / "adapter.safetensors"


@pytest.fixture(scope="module")
def checkpoint(adapter):
    place = adapter.parent
    arguments = ["--profile", "wan-1.3b-480", "--autoencoder", f"taehv:{place / 'taew2_1.pth'}"]
    arguments += ["--out", str(place / "BASE"), "--prompts", "--prompt", TEXT]
    assert main(["model", "import", str(place / "WAN"), *arguments]) == 0
    return place / "BASE"


def test_prompts_are_embedded_by_the_import(checkpoint, capsys):
    assert main(["prompts", str(checkpoint)]) == 0
    assert TEXT in capsys.readouterr().out.splitlines()
    with TorchEngine(checkpoint, **SIZE, prompt=TEXT) as engine:
        assert engine.realize(noise_chunk(engine.spec, 0)).prompt == TEXT


@pytest.mark.slow  # torch's exporter traces hundreds of operations with open sizes
@pytest.mark.timeout(1800)
def test_the_exported_graphs_answer_as_torch(tmp_path, checkpoint, adapter):
    arguments = ["--adapter", str(adapter), "--out", str(tmp_path)]
    assert main(["export", str(checkpoint), *arguments, "--to", "checkpoint,lora,onnx"]) == 0
    assert (tmp_path / "checkpoint" / "licences" / "LICENSE.txt").is_file()
    films = []
    for engine in (
        TorchEngine(checkpoint, **SIZE, adapter=adapter),
        OnnxEngine(tmp_path / "onnx", **SIZE),
    ):
        with engine:
            assert (engine.spec.first_frames, engine.spec.frames) == (9, 12)
            made = [engine.realize(noise_chunk(engine.spec, index)).frames for index in range(4)]
            films.append(np.concatenate(made).astype(int))
            assert len(engine.realize_again(noise_chunk(engine.spec, 3), 5).frames) == 12
    difference = np.abs(films[0] - films[1])
    assert difference.mean() < 0.5 and difference.max() <= 8  # levels: weights are float16
    with OnnxEngine(tmp_path / "onnx", **SIZE) as engine:
        manifest = engine.manifest
    assert rehearse(tmp_path / "onnx", manifest, precision="fp32")["levels"] <= 1
