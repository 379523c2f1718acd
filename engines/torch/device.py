"""The torch engine's device: its lookup, its attention kernels, its out-of-memory errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from realmaster_live.engines.sizes import check_fits, fitting_sizes
from realmaster_live.errors import EngineError, OutOfMemory
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.model.cost import cost, engine_bytes
from realmaster_live.model.fp8 import SMALLEST_CAPABILITY
from realmaster_live.model.profile import PROFILES, Profile

PRECISIONS = ("fp32", "bf16", "fp8")
ATTENTION = (  # fastest first; the last one takes anything
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
)
# texts of torch's and numpy's messages about a failed allocation
REQUESTED_BYTES = re.compile(r"(?:ried|nable) to allocate ([\d.]+ ?\w+)")
FREE_BYTES = re.compile(r"of which ([\d.]+ ?\w+) is free")


def find_device(name: str) -> torch.device:
    """Return the CPU or a present CUDA device; raise EngineError for any other."""
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise EngineError(f"expected device 'cpu', 'cuda' or 'cuda:N', got {name!r}: use one")
    if device.type == "cpu":
        return torch.device("cpu")
    index, count = device.index or 0, torch.cuda.device_count()
    if index >= count:
        raise EngineError(
            f"expected CUDA device {index}, got {count} devices that torch {torch.__version__} "
            "sees: use device='cpu' (--device cpu), or install an NVIDIA driver and a CUDA build "
            "of torch"
        )
    return torch.device("cuda", index)


def out_of_memory(
    error: BaseException, spec: ChunkSpec, device: torch.device, profile: Profile
) -> OutOfMemory | None:
    """Return OutOfMemory for a failed allocation; None for any other error."""
    requested, free = REQUESTED_BYTES.search(str(error)), FREE_BYTES.search(str(error))
    if requested is None:
        return None
    need = cost(profile, height=spec.height, width=spec.width).bytes
    width, height = fitting_sizes(spec.width // 2, spec.height // 2, profile.token_stride)[0]
    fitting = [
        (known.bytes, other.name)
        for other in PROFILES.values()
        if (known := cost(other, height=spec.height, width=spec.width)).bytes < need / 2
    ]
    smaller = f", a smaller profile, such as {max(fitting)[1]}," if fitting else ""
    return OutOfMemory(
        f"expected {requested[1]} more memory on {device} for {spec.width}x{spec.height}, for "
        f"which {profile.name} needs about {need / 2**30:.2g} GiB in bf16, got "
        f"{free[1] + ' free' if free else 'less'}: use a smaller size, such as {width}x{height}"
        f"{smaller} or free memory there"
    )


@contextmanager
def memory_checked(spec: ChunkSpec, device: torch.device, profile: Profile) -> Iterator[None]:
    """Turn a failed allocation, on device or host, into OutOfMemory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        known = out_of_memory(error, spec, device, profile)
        if known is None:
            raise
        raise known from error


def default_device() -> str:
    """Return "cuda" where torch sees a GPU, else "cpu"."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_text(device: torch.device) -> str:
    """Return a device with its name, such as `cuda:0 (NVIDIA H100 80GB HBM3)`."""
    if device.type == "cpu":
        return "cpu"
    return f"{device} ({torch.cuda.get_device_name(device)})"


def check_precision(precision: str, device: torch.device) -> None:
    """Raise EngineError for an unknown precision, or fp8 on a GPU that has none."""
    if precision not in PRECISIONS:
        raise EngineError(
            f"expected precision {', '.join(PRECISIONS[:-1])} or {PRECISIONS[-1]}, got "
            f"{precision!r}: use one"
        )
    if precision == "fp8" and device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        if capability < SMALLEST_CAPABILITY:
            least, got = (".".join(map(str, each)) for each in (SMALLEST_CAPABILITY, capability))
            raise EngineError(
                f"expected a GPU of compute capability {least} or later for fp8, got {got} of "
                f"{torch.cuda.get_device_name(device)}: use precision bf16"
            )


def check_memory(
    profile: Profile, spec: ChunkSpec, device: torch.device, precision: str, cameras: int = 1
) -> None:
    """Raise OutOfMemory where an engine does not fit a CUDA device's free memory, or our own."""
    if device.type != "cuda":
        return check_fits(spec)
    free, _ = torch.cuda.mem_get_info(device)
    problem = too_little(profile, spec, precision, free, str(device), cameras)
    if problem is not None:
        raise problem


def too_little(
    profile: Profile,
    spec: ChunkSpec,
    precision: str,
    free: int,
    device: str,
    cameras: int = 1,
) -> OutOfMemory | None:
    """Return an error that says what fits in some bytes instead of an engine; None if it fits."""

    def need(other: Profile, precision: str) -> int:
        return engine_bytes(
            other,
            height=spec.height,
            width=spec.width,
            precision=precision,
            cameras=cameras,
        )

    wanted = need(profile, precision)
    if wanted <= free:
        return None
    smaller = [one for one in ("bf16", "fp8") if need(profile, one) <= free]
    fitting = {
        need(other, "bf16"): name for name, other in PROFILES.items() if need(other, "bf16") <= free
    }
    width, height = fitting_sizes(spec.width // 2, spec.height // 2, profile.token_stride)[0]
    remedies = [f"precision {smaller[0]}"] if smaller else []
    remedies += [f"a profile that fits, such as {fitting[max(fitting)]}"] if fitting else []
    remedies += [f"a smaller size, such as {width}x{height}"]
    several = f" of {cameras} cameras" if cameras > 1 else ""
    return OutOfMemory(
        f"expected about {wanted / 2**30:.1f} GiB on {device} for {profile.name} at "
        f"{spec.width}x{spec.height}{several} in {precision}, got {free / 2**30:.1f} GiB free: use "
        f"{', or '.join(remedies)}"
    )


@contextmanager
def exact_convolutions() -> Iterator[None]:
    """Make cuDNN deterministic, without TF32 where float32 is requested."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.allow_tf32
    cudnn.deterministic, cudnn.allow_tf32 = True, False
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.allow_tf32 = before


@contextmanager
def torch_modes(
    device: torch.device,
    *,
    bf16: bool,
    threads: int = 0,
    backends: Sequence[SDPBackend] | None = None,
) -> Iterator[None]:
    """Set torch's modes for inference and restore them afterwards.

    `threads` are CPU threads (0: as they are), `backends` torch's attention, fastest first.
    """
    before = torch.get_num_threads()
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        stack.enter_context(
            torch.autocast(device.type, torch.bfloat16, enabled=bf16, cache_enabled=False)
        )
        if device.type == "cuda":
            stack.enter_context(torch.cuda.device(device))
            stack.enter_context(exact_convolutions())
        if backends is not None:
            stack.enter_context(sdpa_kernel(list(backends), set_priority=True))
        if threads and threads != before:
            torch.set_num_threads(threads)
            stack.callback(torch.set_num_threads, before)
        yield


def attention_kernels(device: torch.device, profile: Profile) -> list[SDPBackend]:
    """Return the attention backends that work on a CUDA device in bfloat16, fastest first."""
    shape = (1, profile.heads, 64, profile.head_width)
    query = torch.zeros(shape, dtype=torch.bfloat16, device=device)
    try:
        with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
            nn.functional.scaled_dot_product_attention(query, query, query)
    except RuntimeError:  # this cuDNN version or head width has no such kernel
        return list(ATTENTION[1:])
    return list(ATTENTION)
