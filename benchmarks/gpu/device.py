"""The device of a benchmark: what it is, and its rates for the largest single kernels."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from report import one_line
from torch.nn.attention import SDPBackend, sdpa_kernel


def facts_of(device: torch.device) -> dict[str, Any]:
    """Return the machine and the versions."""
    cuda = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if cuda else platform.processor()
    return {
        "device": name or platform.machine(),
        "torch": torch.__version__,
        "CUDA": torch.version.cuda or "none",
        "cuDNN": torch.backends.cudnn.version() if cuda else "none",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        **ceilings(device),
    }


def ceilings(device: torch.device) -> dict[str, str]:
    """Return the device's rates for a large product, a copy and Wan's attention."""
    cuda = device.type == "cuda"
    side = 8192 if cuda else 512
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    taken = seconds_of(lambda: a @ b, device, 20 if cuda else 2)
    found = {f"bf16 matrix product, {side}^3": f"{2 * side**3 / taken / 1e12:.3g} TFLOP/s"}
    source = torch.zeros(2**30 if cuda else 2**24, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    taken = seconds_of(lambda: target.copy_(source), device, 20 if cuda else 2)
    found["memory copy, read and write"] = f"{2 * source.numel() / taken / 1e12:.3g} TB/s"
    if cuda:
        shape, keys = (1, 12, 4680, 128), (1, 12, 18720, 128)
        query = torch.randn(shape, device=device, dtype=torch.bfloat16)
        key, value = (torch.randn(keys, device=device, dtype=torch.bfloat16) for _ in range(2))
        attend = torch.nn.functional.scaled_dot_product_attention
        for kind in (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION):
            try:
                with sdpa_kernel(kind):
                    taken = seconds_of(lambda: attend(query, key, value), device, 10)
                work = 4 * 12 * 4680 * 18720 * 128
                name = f"{kind.name}, 4680 queries, 18720 keys"
                found[name] = f"{work / taken / 1e12:.3g} TFLOP/s"
            except RuntimeError as error:
                found[kind.name] = one_line(error)
    return found


def seconds_of(work: Callable[[], Any], device: torch.device, runs: int) -> float:
    """Return the median seconds of some work, by CUDA events or the host's clock."""
    work()
    times = []
    for _ in range(runs):
        if device.type == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            work()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) / 1e3)
        else:
            begin = time.perf_counter()
            work()
            times.append(time.perf_counter() - begin)
    return statistics.median(times)
