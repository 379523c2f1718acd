"""ONNX Runtime's sessions of a model's graphs: on which device, and how they are run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from realmaster_live.errors import BuildError, EngineError
from realmaster_live.optional import require
from realmaster_live.system.inside import check_utf8

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

    `threads` 0 takes all cores. `lean` leaves the graphs as they are. `fused` is whether quantized
    convolutions compute in integers, which is exact on any processor if their weights use 7 bits;
    otherwise they compute in float32 on rounded values, which is slower.

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
