"""Linear layers in E4M3 against the same products in float32."""

import pytest
import torch
from torch import nn

from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.fp8 import E4M3, LARGEST, LAYERS, Fp8Linear, quantize_blocks, to_e4m3
from realmaster_live.model.profile import TINY


def test_rows_span_the_whole_range_and_zero_stays_zero():
    x = torch.randn(5, 32, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [[1e-4], [1.0], [1e4], [3.0], [0.0]]
    )
    rows, scale = to_e4m3(x)
    assert rows.dtype == E4M3
    assert rows[:4].float().abs().amax(1).eq(LARGEST).all()
    torch.testing.assert_close(rows.float() * scale, x, rtol=2**-4, atol=float(scale.max()) * 2**-9)
    assert rows[4].float().eq(0).all()


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_computes_the_rounded_product(bias):
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(64, 48, bias=bias)
    x = torch.randn(2, 7, 64, generator=generator)
    layer = Fp8Linear(linear)
    rows, scale = to_e4m3(x.flatten(0, 1))
    weight = layer.weight.float() * layer.scale.t()
    exact = (rows.float() * scale) @ weight.t()
    exact = exact.unflatten(0, (2, 7)) + (layer.bias.float() if bias else 0.0)
    got = layer(x)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.float(), exact, rtol=2**-7, atol=2**-7)
    off = (got.float() - linear(x)).norm() / linear(x).norm()
    assert 0.005 < off < 0.06  # eight bits, no more and no fewer


def test_the_layers_of_all_blocks_are_replaced_and_no_others():
    model = InContextTransformer(TINY)
    quantize_blocks(model)
    found = {name for name, each in model.named_modules() if isinstance(each, Fp8Linear)}
    assert found == {f"blocks.{layer}.{name}" for layer in range(TINY.layers) for name in LAYERS}
    kept = {name for name, each in model.named_modules() if isinstance(each, nn.Linear)}
    assert {"proj_out", "condition_embedder.time_proj", "blocks.0.attn2.to_k"} <= kept
