"""Chooses the kernel that computes attention: torch's own, or a faster one that is installed.

| kernel | source | exact |
| sdpa | torch: cuDNN, flash, memory-efficient or plain, in this order | yes |
| flash3 | FlashAttention-3 (arXiv 2407.08608), for Hopper: `flash_attn_interface` | yes |
| sage | SageAttention (arXiv 2410.02367), keys and queries in int8: `sageattention` | no |

`sdpa` is always available, so it is the fallback. The others are wrapped as custom operators, which
`torch.compile` and CUDA graphs accept unchanged.

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
TOLERANCE = {SDPA: 0.0, "flash3": 0.02, "sage": 0.1}  # error against sdpa, relative to its maximum
ROUNDS = 5
sdpa: Kernel = nn.functional.scaled_dot_product_attention


def installed() -> list[str]:
    """Return the names of the kernels whose packages are installed."""
    return [SDPA, *(name for name, module in MODULES.items() if find_spec(module) is not None)]


def kernel(name: str) -> Kernel:
    """Return the kernel with this name; EngineError if it is not installed."""
    if name not in installed():
        raise EngineError(
            f"expected an attention kernel among {', '.join(installed())}, got {name!r}: use one, "
            "or install its package"
        )
    if name == SDPA:
        return sdpa
    if name not in _wrapped:
        _wrapped[name] = _operator(name, _external_kernel(name))
    return _wrapped[name]


_wrapped: dict[str, Kernel] = {}


def _external_kernel(name: str) -> Kernel:
    """Return another package's kernel with axes in our order."""
    module: Any = import_module(MODULES[name])
    if name == "sage":
        return lambda query, key, value: module.sageattn(query, key, value, tensor_layout="HND")

    def flash3(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        transposed = (each.transpose(1, 2) for each in (query, key, value))  # its axes are B N H D
        answer = module.flash_attn_func(*transposed)
        out: Tensor = answer[0] if isinstance(answer, tuple) else answer
        return out.transpose(1, 2)

    return flash3


def _operator(name: str, run: Kernel) -> Kernel:
    """Return a kernel as a custom torch operator, which compilers treat as opaque."""

    def contiguous(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return run(query, key, value).contiguous()

    operator = torch.library.custom_op(f"realmaster::attention_{name}", contiguous, mutates_args=())
    operator.register_fake(lambda query, key, value: torch.empty_like(query).contiguous())
    return operator


def fastest(
    device: torch.device,
    shape: tuple[int, int, int, int],  # heads, queries, keys, channels of a head
    *,
    exact: bool,
) -> str:
    """Return the name of the kernel that is measured to be fastest in bfloat16 on a device.

    Kernels that fail, or whose result differs from `sdpa`'s by more than their tolerance, are
    skipped. `exact` skips those that compute in fewer bits.
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
            error = (run(query, key, value) - expected).abs().max()
            if error <= TOLERANCE[name] * expected.abs().max():
                times[name] = _seconds(lambda run=run: run(query, key, value), device)  # type: ignore[misc]
        except (RuntimeError, TypeError, AssertionError, ImportError):
            continue  # the kernel does not support this GPU or this head width
    return min(times, key=lambda name: times[name]) if times else SDPA


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    """Return the shortest of several measured times of some work on a device."""
    synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda _: None
    seconds = []
    for _ in range(ROUNDS):
        synchronize(device)
        begin = time.perf_counter()
        work()
        synchronize(device)
        seconds.append(time.perf_counter() - begin)
    return min(seconds)
