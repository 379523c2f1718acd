import pytest
import torch
from torch import nn

from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.lora import attach
from realmaster_live.model.profile import TINY
from realmaster_live.model.random_weights import random_networks
from realmaster_live.training.adam8bit import Adam8bit, pack, unpack
from realmaster_live.training.iclora.int8 import Int8Linear, freeze_int8
from realmaster_live.training.optimization import Optimization


def test_an_int8_layer_is_near_its_own_weight_and_passes_gradients_on():
    torch.manual_seed(0)
    holder = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(64, 32)]), "rest": nn.Linear(4, 4)})
    layer = holder["blocks"][0]
    weight, x = layer.weight.detach().clone(), torch.randn(5, 64, requires_grad=True)
    expected = layer(x)
    (wanted,) = torch.autograd.grad(expected.square().sum(), x)
    freeze_int8(holder)
    assert isinstance(layer, Int8Linear)
    assert not isinstance(holder["rest"], Int8Linear)
    assert layer.codes.dtype == torch.int8
    step = weight.abs().amax(1, keepdim=True) / 127
    assert ((layer.weight - weight).abs() <= 0.5001 * step).all()
    got = layer(x)
    torch.testing.assert_close(got, expected, atol=0.03, rtol=0)
    (gradient,) = torch.autograd.grad(got.square().sum(), x)
    assert (gradient - wanted).norm() < 0.02 * wanted.norm()
    exact = nn.functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(got, exact)


def test_only_codes_are_kept_for_the_way_back():
    layer = nn.Linear(128, 128)
    freeze_int8(nn.ModuleDict({"blocks": nn.ModuleList([layer])}))
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda x: (kept.append((x.dtype, x.numel())), x)[1], lambda x: x
    ):
        layer(torch.randn(1, 128, requires_grad=True))
    assert (torch.int8, 128 * 128) in kept
    assert (torch.float32, 128 * 128) not in kept


def test_an_adapter_learns_over_a_frozen_int8_model():
    model = random_networks(TINY, torch.device("cpu"))[1]
    plain = InContextTransformer(TINY)
    plain.load_state_dict(model.state_dict())
    freeze_int8(model)
    adapter = attach(model, rank=2, generator=torch.Generator().manual_seed(0))
    assert len(adapter.low_ranks) == sum(type(m) is Int8Linear for m in model.modules())
    prompt = torch.randn(1, 3, TINY.text_width)
    got, expected = model.prompt(prompt), plain.prompt(prompt)
    assert (got - expected).norm() < 0.02 * expected.norm()
    got.square().sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in adapter.parameters())


@pytest.mark.parametrize("power", [2, 4])
def test_moments_survive_their_codes(power):
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0)) ** 3
    values = values if power == 2 else values.square()
    codes, scale = pack(values, power)
    assert codes.element_size() == 1
    back = unpack(codes, scale, power, values)
    large = values.abs() > 1e-3 * values.abs().max()
    assert ((back - values).abs() / values.abs())[large].max() < 0.2
    if power == 4:
        assert (back >= values * (1 - 1e-6)).all()  # never below: no step grows by it
    assert (back[values != 0].sign() * values[values != 0].sign() >= 0).all()


def test_adam_in_bytes_takes_the_steps_of_adam():
    """The same quadratic, the same way down; a quarter of the moments' memory."""
    torch.manual_seed(0)
    goal = torch.randn(64, 64)
    ends = {}
    for bits in (32, 8):
        weight = nn.Parameter(torch.zeros(64, 64))
        options = Optimization(bits=bits, learning_rate=0.05, weight_decay=0.0)
        optimizer = options.optimizer([weight])
        for _ in range(100):
            (weight - goal).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        ends[bits] = float((weight.detach() - goal).square().mean())
        if bits == 8:
            assert isinstance(optimizer, Adam8bit)
            state = optimizer.state[weight]
            size = sum(x.numel() * x.element_size() for x in state.values())
            assert size < 2.1 * weight.numel()
    start = float(goal.square().mean())
    assert ends[32] < 0.01 * start
    assert ends[8] < 0.02 * start


def test_weight_decay_and_first_step_of_adam_by_hand():
    """At the first step m_hat / sqrt(v_hat) is the gradient's sign (Loshchilov and Hutter)."""
    weight = nn.Parameter(torch.tensor([2.0, -4.0]))
    optimizer = Adam8bit([weight], lr=0.1, betas=(0.9, 0.95), weight_decay=0.5)
    weight.grad = torch.tensor([3.0, -3.0])
    optimizer.step()
    expected = torch.tensor([2.0 * 0.95 - 0.1, -4.0 * 0.95 + 0.1])
    torch.testing.assert_close(weight.detach(), expected)
