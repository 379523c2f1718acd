import copy

import pytest
import torch
from tiny_wan import answer_wan, make_wan

from realmaster_live.errors import BuildError, ConfigError
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.lora import DEFAULT_TARGETS, attach, linear_layers
from realmaster_live.model.profile import TINY
from realmaster_live.training.latents import ropes

RANK = 4


def make_ours() -> InContextTransformer:
    torch.manual_seed(0)
    model = InContextTransformer(TINY).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape))
    return model


def answer_ours(model: InContextTransformer) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    shape = (2, 1, TINY.latent_channels, 2 * TINY.patch, 3 * TINY.patch)
    reference, sample = torch.randn(shape, generator=generator)
    rope = ropes(TINY, 2, 3)
    prompt = model.prompt(model.prompt_embedding[1:2])
    context = model.context(reference, rope, prompt)
    nothing, never = context[..., :0, :], ropes(TINY, 2, 3, ())
    timestep = torch.full((1,), 0.7)
    return model.denoise(sample, timestep, reference, context, nothing, rope, never, prompt)[0]


MODELS = {"ours": (make_ours, answer_ours), "wan": (make_wan, answer_wan)}


@pytest.fixture(params=MODELS)
def pair(request):
    make, answer = MODELS[request.param]
    return make(), answer


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def attach_trained(model: torch.nn.Module, alpha: float = 6.0):
    """Attach an adapter whose products are not zero, as after training."""
    adapter = attach(model, rank=RANK, alpha=alpha, generator=seeded())
    generator = seeded(4)
    with torch.no_grad():
        for low_rank in adapter.low_ranks.values():
            low_rank.up.copy_(0.1 * torch.randn(low_rank.up.shape, generator=generator))
    return adapter


def state_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_same_state(model: torch.nn.Module, before: dict[str, torch.Tensor]) -> None:
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_adapts_every_projection_and_no_other_layer(pair):
    model, _ = pair
    adapter = attach(model, rank=RANK, generator=seeded())
    blocks = [name for name in linear_layers(model) if name.startswith("blocks.")]
    assert list(adapter.low_ranks) == blocks
    assert len(blocks) == 2 * (4 * 2 + 2)  # self- and cross-attention, and the feed-forward
    shapes = [tuple(each.shape) for each in adapter.parameters()]
    layers = linear_layers(model)
    assert shapes == [
        shape
        for name in blocks
        for shape in ((RANK, layers[name].in_features), (layers[name].out_features, RANK))
    ]


@torch.no_grad()
def test_new_adapter_and_strength_zero_are_the_base_model_bit_for_bit(pair):
    model, answer = pair
    base = answer(model)
    new = attach(model, rank=RANK, generator=seeded())
    assert torch.equal(answer(model), base)
    new.detach()
    adapter = attach_trained(model)
    assert not torch.allclose(answer(model), base, atol=1e-3)
    adapter.strength = 0
    assert torch.equal(answer(model), base)


@torch.no_grad()
def test_attached_equals_the_equation(pair):
    """W' = W + strength * alpha / rank * B A, written out on a copy."""
    model, answer = pair
    by_hand = copy.deepcopy(model)
    adapter = attach_trained(model, alpha=6.0)
    adapter.strength = 0.5
    layers = linear_layers(by_hand)
    for name, low_rank in adapter.low_ranks.items():
        layers[name].weight += 0.5 * 6.0 / RANK * low_rank.up @ low_rank.down
    torch.testing.assert_close(answer(model), answer(by_hand), rtol=0, atol=1e-6)


@torch.no_grad()
def test_half_strength_lies_between():
    """One layer adapted: its product's share of the answer is the strength."""
    layer = torch.nn.Sequential(torch.nn.Linear(5, 7))
    x = torch.randn(3, 5, generator=seeded())
    base = layer(x)
    adapter = attach(layer, rank=2, targets=("0",), generator=seeded())
    adapter.low_ranks["0"].up.normal_(generator=seeded())
    full = layer(x)
    adapter.strength = 0.5
    torch.testing.assert_close(layer(x), (base + full) / 2)


@torch.no_grad()
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_merged_equals_attached_and_unmerge_restores_every_bit(pair, strength):
    model, answer = pair
    before = state_of(model)
    base = answer(model)
    adapter = attach_trained(model)
    adapter.strength = strength
    attached = answer(model)
    adapter.merge()
    adapter.merge()
    assert not torch.equal(
        model.state_dict()["blocks.0.attn1.to_q.weight"], before["blocks.0.attn1.to_q.weight"]
    )
    torch.testing.assert_close(answer(model), attached, rtol=0, atol=1e-6)
    adapter.unmerge()
    assert_same_state(model, before)
    assert torch.equal(answer(model), attached)
    adapter.strength = 0
    assert torch.equal(answer(model), base)


@torch.no_grad()
def test_strength_changes_merged_weights(pair):
    model, answer = pair
    before = state_of(model)
    adapter = attach_trained(model)
    adapter.strength = 0.3
    attached = answer(model)
    adapter.strength = 1.0
    adapter.merge()
    adapter.strength = 0.3
    torch.testing.assert_close(answer(model), attached, rtol=0, atol=1e-6)
    adapter.strength = 0
    assert_same_state(model, before)


@torch.no_grad()
def test_detach_leaves_the_plain_module(pair):
    model, answer = pair
    before, base = state_of(model), answer(model)
    names = [name for name, _ in model.named_parameters()]
    model.proj_out.requires_grad_(False)
    required = [each.requires_grad for each in model.parameters()]
    adapter = attach_trained(model)
    assert_same_state(model, before)
    adapter.detach()
    adapter.detach()
    assert_same_state(model, before)
    assert [name for name, _ in model.named_parameters()] == names
    assert [each.requires_grad for each in model.parameters()] == required
    assert torch.equal(answer(model), base)
    with pytest.raises(ConfigError, match="attach or load it again"):
        adapter.merge()


@torch.no_grad()
def test_merge_and_detach_fuse(pair):
    model, answer = pair
    names = list(model.state_dict())
    adapter = attach_trained(model)
    attached = answer(model)
    adapter.merge()
    adapter.detach()
    torch.testing.assert_close(answer(model), attached, rtol=0, atol=1e-6)
    assert list(model.state_dict()) == names


@torch.no_grad()
def test_base_weights_load_while_attached(pair):
    model, answer = pair
    fresh = state_of(model)
    adapter = attach_trained(model)
    attached = answer(model)
    up = [each.clone() for each in adapter.parameters()]
    for parameter in fresh.values():
        parameter.mul_(1.1)
    model.load_state_dict(fresh)
    assert_same_state(model, fresh)
    assert all(torch.equal(a, b) for a, b in zip(up, adapter.parameters(), strict=True))
    assert not torch.allclose(answer(model), attached, atol=1e-3)


def test_gradients_reach_only_the_adapter(pair):
    model, answer = pair
    adapter = attach_trained(model)
    answer(model).square().mean().backward()
    trained = {id(each) for each in adapter.parameters()}
    assert all(each.requires_grad == (id(each) in trained) for each in model.parameters())
    assert all(each.grad is None for each in model.parameters() if id(each) not in trained)
    assert all(each.grad is not None and each.grad.any() for each in adapter.parameters())


def test_a_few_steps_lower_the_loss_and_leave_the_base(pair):
    model, answer = pair
    before = state_of(model)
    with torch.no_grad():
        target = answer(model) + 0.3
    adapter = attach(model, rank=RANK, generator=seeded())
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-2)
    losses = []
    for _ in range(12):
        loss = (answer(model) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(0.09, rel=1e-4)
    assert losses[-1] < 0.8 * losses[0]
    assert_same_state(model, before)


@pytest.mark.filterwarnings("ignore:Mismatch dtype")  # diffusers' float32 norms under autocast
def test_autocast_trains_float32_products(pair):
    model, answer = pair
    adapter = attach_trained(model)
    exact = answer(model)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = answer(model)
    torch.testing.assert_close(rounded.float(), exact, rtol=0.1, atol=0.1)
    rounded.float().square().mean().backward()
    assert all(each.grad.dtype == torch.float32 for each in adapter.parameters())
    assert all(each.grad.any() for each in adapter.parameters())


def test_bfloat16_layer_with_float32_products():
    layer = torch.nn.Sequential(torch.nn.Linear(5, 7)).to(torch.bfloat16)
    weight = layer[0].weight.clone()
    adapter = attach(layer, rank=2, targets=("0",), generator=seeded())
    with torch.no_grad():
        adapter.low_ranks["0"].up.normal_(generator=seeded())
    x = torch.randn(3, 5, generator=seeded()).to(torch.bfloat16)
    attached = layer(x)
    assert attached.dtype == torch.bfloat16
    attached.sum().backward()
    assert adapter.low_ranks["0"].down.grad.dtype == torch.float32
    adapter.merge()
    assert layer[0].weight.dtype == torch.bfloat16
    torch.testing.assert_close(layer(x), attached, rtol=0.05, atol=0.05)
    adapter.unmerge()
    assert torch.equal(layer[0].weight, weight)


def test_gradient_checkpointing_changes_no_gradient():
    model = make_wan().train()
    adapter = attach_trained(model)
    answer_wan(model).square().mean().backward()
    plain = [each.grad.clone() for each in adapter.parameters()]
    for each in adapter.parameters():
        each.grad = None
    model.enable_gradient_checkpointing()
    answer_wan(model).square().mean().backward()
    for each, grad in zip(adapter.parameters(), plain, strict=True):
        torch.testing.assert_close(each.grad, grad)


@torch.no_grad()
def test_copy_of_an_adapted_module_is_its_own(pair):
    model, answer = pair
    adapter = attach_trained(model)
    twin = copy.deepcopy(model)
    attached = answer(model)
    adapter.strength = 0
    assert torch.equal(answer(twin), attached)
    assert not torch.equal(answer(model), attached)


def test_same_generator_same_products(pair):
    model, _ = pair
    first = attach(model, rank=RANK, generator=seeded())
    first.detach()
    second = attach(model, rank=RANK, generator=seeded())
    other = [low_rank.down for low_rank in second.low_ranks.values()]
    assert all(torch.equal(a.down, b) for a, b in zip(first.low_ranks.values(), other, strict=True))
    assert not torch.equal(other[0], other[1])


def test_wrong_options_say_what_to_do(pair):
    model, _ = pair
    with pytest.raises(ConfigError, match="rank of at least 1, got 0"):
        attach(model, rank=0, generator=seeded())
    with pytest.raises(BuildError, match=r"ends in q_proj, got a \w+Transformer\w* without one"):
        attach(model, rank=RANK, targets=("to_q", "q_proj"), generator=seeded())
    with pytest.raises(BuildError, match="ends in o_q"):
        attach(model, rank=RANK, targets=("o_q",), generator=seeded())
    assert all(each.requires_grad for each in model.parameters())
    adapter = attach(model, rank=RANK, targets=DEFAULT_TARGETS, generator=seeded())
    with pytest.raises(ConfigError, match="detach that one first"):
        attach(model, rank=RANK, generator=seeded())
    with pytest.raises(ConfigError, match="finite strength, got nan"):
        adapter.strength = float("nan")
