"""Attention kernels of other packages, through stand-ins for the packages, and the fallback."""

import importlib.machinery
import sys
import types

import pytest
import torch

from realmaster_live.errors import EngineError
from realmaster_live.model import attention
from realmaster_live.model.attention import SDPA, fastest, installed, kernel, sdpa

CPU = torch.device("cpu")
SHAPE = (2, 5, 9, 8)  # heads, queries, keys, channels


def groups(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    heads, queries, keys, channels = SHAPE
    return [
        torch.randn(1, heads, count, channels, generator=generator).to(dtype)
        for count in (queries, keys, keys)
    ]


@pytest.fixture
def install(monkeypatch):
    """Put modules in the place of packages that need a GPU."""

    def put(name, **functions):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        for each, function in functions.items():
            setattr(module, each, function)
        monkeypatch.setitem(sys.modules, name, module)

    monkeypatch.setattr(attention, "_wrapped", {})
    return put


def tokens_first(query, key, value):
    """FlashAttention-3's order of axes, and its second result."""
    answer = sdpa(*(each.transpose(1, 2) for each in (query, key, value)))
    return answer.transpose(1, 2), None


def test_without_other_packages_torch_computes_it():
    assert installed()[0] == SDPA
    assert kernel(SDPA) is torch.nn.functional.scaled_dot_product_attention
    with pytest.raises(EngineError, match=r"expected an attention kernel among sdpa.*got 'magic'"):
        kernel("magic")


def test_another_packages_kernel_is_one_operator(install):
    """It answers the same, and a compiler takes the whole function around it."""
    install("flash_attn_interface", flash_attn_func=tokens_first)
    assert "flash3" in installed()
    query, key, value = groups()
    run = kernel("flash3")
    torch.testing.assert_close(run(query, key, value), sdpa(query, key, value))
    compiled = torch.compile(lambda *x: run(*x) + 1, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(query, key, value), sdpa(query, key, value) + 1)
    torch.compiler.reset()


def test_a_kernel_with_another_answer_or_none_is_not_taken(install):
    def broken(query, key, value):
        raise RuntimeError("no kernel image is available for execution on the device")

    for function in (broken, lambda query, key, value: 2 * query):
        install("flash_attn_interface", flash_attn_func=function)
        assert fastest(CPU, SHAPE, exact=True) == SDPA


def test_a_kernel_of_fewer_bits_is_taken_only_where_that_is_allowed(install, monkeypatch):
    install("sageattention", sageattn=lambda q, k, v, tensor_layout: sdpa(q, k, v))
    timed = []
    monkeypatch.setattr(attention, "_seconds", lambda work, device: timed.append(work()) or 1.0)
    fastest(CPU, SHAPE, exact=True)
    assert len(timed) == 1
    fastest(CPU, SHAPE, exact=False)
    assert len(timed) == 3
