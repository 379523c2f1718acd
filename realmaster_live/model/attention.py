"""Which kernel computes attention: torch's own, or a faster one that is installed.

| kernel | from | exact |
| sdpa | torch: cuDNN, flash, memory-efficient or plain, in this order | yes |
| flash3 | FlashAttention-3 (arXiv 2407.08608), for Hopper: `flash_attn_interface` | yes |
| sage | SageAttention (arXiv 2410.02367), keys and queries in int8: `sageattention` | no |

`sdpa` is everywhere, so it is the fallback. The others are wrapped as operators of their own, which
`torch.compile` and CUDA graphs take as they are.

Legend: B batch, H heads, N queries, S keys, D channels of a head.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from realmaster_live.errors import EngineError

Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]
SDPA = "sdpa"
MODULES = {"flash3": "flash_attn_interface", "sage": "sageattention"}
EXACT = (SDPA, "flash3")
TOLERANCE = {SDPA: 0.0, "flash3": 0.02, "sage": 0.1}  # of the largest answer, against sdpa
ROUNDS = 5
sdpa: Kernel = nn.functional.scaled_dot_product_attention


def installed() -> list[str]:
    """Return the names of the kernels whose packages are installed."""
    return [SDPA, *(name for name, module in MODULES.items() if find_spec(module) is not None)]


def kernel(name: str) -> Kernel:
    """Return the kernel of a name; EngineError where it is not installed."""
    if name not in installed():
        raise EngineError(
            f"expected an attention kernel among {', '.join(installed())}, got {name!r}: use one, "
            "or install its package"
        )
    if name == SDPA:
        return sdpa
    if name not in _wrapped:
        _wrapped[name] = _operator(name, _theirs(name))
    return _wrapped[name]


_wrapped: dict[str, Kernel] = {}


def _theirs(name: str) -> Kernel:
    """Return another package's kernel, with axes in our order."""
    module: Any = import_module(MODULES[name])
    if name == "sage":
        return lambda query, key, value: module.sageattn(query, key, value, tensor_layout="HND")

    def flash3(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        turned = (each.transpose(1, 2) for each in (query, key, value))  # it takes B N H D
        answer = module.flash_attn_func(*turned)
        out: Tensor = answer[0] if isinstance(answer, tuple) else answer
        return out.transpose(1, 2)

    return flash3


def _operator(name: str, run: Kernel) -> Kernel:
    """Return a kernel as an operator of torch's, which compilers do not look into."""

    def whole(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return run(query, key, value).contiguous()

    made = torch.library.custom_op(f"realmaster::attention_{name}", whole, mutates_args=())
    made.register_fake(lambda query, key, value: torch.empty_like(query).contiguous())
    return made


def fastest(
    device: torch.device,
    shape: tuple[int, int, int, int],  # heads, queries, keys, channels of a head
    *,
    exact: bool,
) -> str:
    """Return the kernel that is fastest on a device in bfloat16, by timing each.

    A kernel that fails, or whose answer is not `sdpa`'s within its tolerance, is not taken.
    `exact` leaves out those that compute in fewer bits.
    """
    heads, queries, keys, channels = shape
    generator = torch.Generator(device).manual_seed(0)
    query, key, value = (
        torch.randn(
            (1, count, heads, channels), generator=generator, device=device, dtype=torch.bfloat16
        ).transpose(1, 2)
        for count in (queries, keys, keys)
    )
    expected = sdpa(query, key, value)
    times: dict[str, float] = {}
    for name in installed():
        if exact and name not in EXACT:
            continue
        try:
            run = kernel(name)
            off = (run(query, key, value) - expected).abs().max()
            if off <= TOLERANCE[name] * expected.abs().max():
                times[name] = _seconds(lambda run=run: run(query, key, value), device)  # type: ignore[misc]
        except (RuntimeError, TypeError, AssertionError, ImportError):
            continue  # it has no code for this card or this head width
    return min(times, key=lambda name: times[name]) if times else SDPA


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Return the best of a few times of some work on a device."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda _: None
    found = []
    for _ in range(ROUNDS):
        wait(device)
        begin = time.perf_counter()
        work()
        wait(device)
        found.append(time.perf_counter() - begin)
    return min(found)
