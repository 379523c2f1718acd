"""ONNX Runtime's sessions of a model's graphs: on which device, and how they are run."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from realmaster_live.errors import BuildError, EngineError
from realmaster_live.optional import require
from realmaster_live.system.inside import check_utf8

log = logging.getLogger(__name__)
AS_REQUESTED = 1  # an arena grows by what is asked for, not to the next power of two
PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
}


def choose_providers(device: str, wanted: Sequence[str]) -> list[str]:
    """Return a device's execution providers; EngineError for one that is not installed."""
    runtime = require("onnxruntime", extra="live")
    if device not in PROVIDERS:
        raise EngineError(f"expected device 'cpu' or 'cuda', got {device!r}: use one")
    there = runtime.get_available_providers()
    chosen = list(dict.fromkeys([*wanted, *PROVIDERS[device]]))
    missing = [name for name in chosen if name not in there]
    if missing:
        raise EngineError(
            f"expected {missing[0]} in ONNX Runtime {runtime.__version__}, got "
            f"{', '.join(there)}: use device='cpu' (--device cpu), or pip install onnxruntime-gpu"
        )
    return chosen


def open_sessions(
    folder: Path,
    graphs: Iterable[str],
    *,
    threads: int,
    providers: Sequence[str],
    lean: bool,
    fused: bool,
) -> dict[str, Any]:
    """Return the sessions of the graphs in a folder, by name.

    `threads` 0 takes all cores. On a CPU the sessions share one arena, as a model's graphs run one
    after the other. `lean` leaves the graphs as they are, without an arena. `fused` is whether
    quantized convolutions compute in integers, which is exact on any processor if their weights use
    7 bits; otherwise they compute in float32 on rounded values, which is slower.

    Raises:
        BuildError: ONNX Runtime cannot load a graph.
    """
    runtime = require("onnxruntime", extra="live")
    check_utf8(folder.absolute(), error=BuildError)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or os.cpu_count() or 1
    options.log_severity_level = 3
    if lean:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.enable_cpu_mem_arena = False  # it would keep every weight that a pass widens
    elif tuple(providers) == PROVIDERS["cpu"]:
        options.enable_mem_pattern = False  # the second pass would take a block of its own for it
        renew_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
    # Spinning idle threads would take the cores from the other sessions and the simulator.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if not fused:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    try:
        return {
            name: runtime.InferenceSession(
                folder.absolute() / f"{name}.onnx", options, providers=providers
            )
            for name in graphs
        }
    except Exception as error:  # onnxruntime's errors share no public base class
        raise BuildError(
            f"expected graphs that ONNX Runtime {runtime.__version__} loads, got "
            f"{' '.join(str(error).split())} from {folder}: export the checkpoint again"
        ) from error
    finally:
        if not options.enable_mem_pattern:
            renew_arena()  # so that theirs goes with them


def renew_arena() -> None:
    """Give the sessions that are opened next, and take memory from a shared arena, a new one.

    The runtime lets go of the last one, which stays with its sessions.
    """
    runtime = require("onnxruntime", extra="live")
    memory = runtime.OrtMemoryInfo(
        "Cpu", runtime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, runtime.OrtMemType.DEFAULT
    )
    settings = {"arena_extend_strategy": AS_REQUESTED, "max_mem": 0}
    settings |= dict.fromkeys(("initial_chunk_size_bytes", "max_dead_bytes_per_chunk"), -1)
    try:
        runtime.create_and_register_allocator(memory, runtime.OrtArenaCfg(settings))
    except Exception as error:  # an older runtime, which keeps the first one
        log.debug("the arena that there is stays in use: %s", error)
