"""Opens an engine by its name or folder."""

from __future__ import annotations

from pathlib import Path
from typing import TypedDict

from realmaster_live.engines.embedded import EMBEDDED_FOLDER
from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.engines.tensorrt.plans import GRAPHS_FOLDER, MANIFEST
from realmaster_live.errors import ConfigError, EngineError
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.optional import require
from realmaster_live.prompts import AS_SIMULATED
from realmaster_live.protocols import LoadedEngine

CHUNK_FRAMES = 4  # frames a chunk of the identity engine, as of the embedded model


class Options(TypedDict):
    """The options that every engine with a network takes."""

    width: int  # pixels
    height: int  # pixels
    fps: float
    steps: int | None
    seed: int
    prompt: str | None


def gpu_number(device: str, folder: Path) -> int:
    """Return N of `cuda:N`, for TensorRT plans; raise EngineError for another kind of device."""
    kind, _, number = device.partition(":")
    if kind == "cuda" and (not number or number.isdecimal()):
        return int(number or 0)
    raise EngineError(
        f"expected device 'cuda' or 'cuda:N' for the plans in {folder}, got {device!r}: use one, "
        f"or the folder {folder / GRAPHS_FOLDER}, which runs on the CPU"
    )


def load_engine(
    name: str = "embedded",
    *,
    width: int = 512,  # pixels
    height: int = 288,  # pixels
    fps: float = 20.0,
    steps: int | None = None,
    seed: int = 0,
    threads: int = 0,
    device: str | None = None,
    prompt: str | None = None,
) -> LoadedEngine:
    """Return the engine called `embedded` or `identity`, or the one that a folder holds.

    A folder with manifest.json (an export) runs in ONNX Runtime, one with profile.json (a
    checkpoint) in torch, one with plans.json (a build) in TensorRT. `steps` is the number of
    denoise steps a chunk (the model's own by default), `threads` the number of CPU threads (0: all
    cores), `device` where it runs (plans on the first GPU by default, all else on the CPU),
    `prompt` the first prompt (the model's own by default).
    Raises ConfigError for a name that is none of them.
    """
    if name == "identity":
        identity = IdentityEngine(
            ChunkSpec(frames=CHUNK_FRAMES, height=height, width=width, fps=fps)
        )
        identity.set_prompt(prompt or AS_SIMULATED)
        return identity
    folder = EMBEDDED_FOLDER if name == "embedded" else Path(name)
    options = Options(width=width, height=height, fps=fps, steps=steps, seed=seed, prompt=prompt)
    if name == "embedded" or (folder / "manifest.json").is_file():
        from realmaster_live.engines.onnx_engine import OnnxEngine

        return OnnxEngine(folder, threads=threads, device=device or "cpu", **options)
    if (folder / MANIFEST).is_file():
        number = gpu_number(device or "cuda", folder)
        require("onnx", extra="training")  # which the graphs of a build are read with
        from realmaster_live.engines.tensorrt.engine import TrtEngine

        return TrtEngine(folder, device=number, **options)
    if (folder / "profile.json").is_file():
        require("torch", extra="training")
        from realmaster_live.engines.torch.engine import TorchEngine

        return TorchEngine(folder, threads=threads, device=device or "cpu", **options)
    raise ConfigError(
        "expected 'embedded', 'identity' or a folder with manifest.json (an export), profile.json "
        f"(a checkpoint) or {MANIFEST} (a build), got {name!r}: give the folder that realmaster "
        "export, training or realmaster build wrote"
    )
