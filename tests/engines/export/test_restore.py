import numpy as np
import pytest
import torch

from realmaster_live.engines.embedded import EMBEDDED_FOLDER as EMBEDDED
from realmaster_live.engines.export import restore as restoring
from realmaster_live.engines.export.export import round_weights
from realmaster_live.engines.export.quantize import Rendered, realize
from realmaster_live.engines.export.restore import makes_prompts, norm_gains, restore
from realmaster_live.engines.onnx_engine import OnnxEngine
from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.errors import BuildError
from realmaster_live.model.checkpoint import load_checkpoint, save_checkpoint


def test_an_export_of_float16_gives_back_its_weights_and_prompts(tiny_checkpoint, tiny_model):
    for own, found in zip(load_checkpoint(tiny_checkpoint), restore(tiny_model), strict=True):
        round_weights(own)
        wanted, got = own.state_dict(), found.state_dict()
        assert wanted.keys() == got.keys()
        for name in wanted:
            if not makes_prompts(name):
                torch.testing.assert_close(got[name], wanted[name], msg=name)
    with torch.no_grad():
        left, right = (network.prompt(network.prompt_embedding) for network in (own, found))
    torch.testing.assert_close(right, left, atol=2e-2, rtol=2e-2)


def test_the_shipped_weights_draw_the_same_pictures_restored(tmp_path):
    save_checkpoint(tmp_path, *restore(EMBEDDED))
    y, x = np.meshgrid(np.arange(64), np.arange(96), indexing="ij")
    frame = np.stack([60 + x, 90 + y, 80 + (x + y) / 2], -1).astype(np.uint8)
    sample = Rendered(sim=np.repeat(frame[None], 4, 0))
    with TorchEngine(tmp_path, width=96, height=64) as exact:
        wanted = realize(exact, sample, ["as simulated"]).astype(float)
    with OnnxEngine(EMBEDDED, width=96, height=64, threads=1) as engine:
        got = realize(engine, sample, ["as simulated"])
    assert np.abs(got - wanted).mean() < 3.0
    assert np.abs(got - frame.astype(float)).mean() > 4.0  # it is no copy of the render


def test_gains_leave_keys_of_root_mean_square_one():
    keys = torch.randn(6, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    gains = norm_gains(keys)
    np.testing.assert_allclose((keys / gains).square().mean(1).sqrt(), 1.0, atol=1e-6)


def test_graphs_that_lack_a_weight_are_refused(monkeypatch):
    whole = restoring.weights_of
    monkeypatch.setattr(
        restoring,
        "weights_of",
        lambda graph: {k: v for k, v in whole(graph).items() if "decoder.lift" not in k},
    )
    with pytest.raises(BuildError, match=r"every layer of the autoencoder .* decoder\.lift"):
        restore(EMBEDDED)
