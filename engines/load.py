"""Opens an engine by its name or folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from realmaster_live.engines.embedded import EMBEDDED_FOLDER
from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.engines.options import Precision
from realmaster_live.engines.siblings import SiblingRig
from realmaster_live.engines.tensorrt.plans import GRAPHS_FOLDER, MANIFEST
from realmaster_live.errors import ConfigError, EngineError
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.optional import require
from realmaster_live.prompts import AS_SIMULATED
from realmaster_live.protocols import LoadedEngine

if TYPE_CHECKING:
    from realmaster_live.model.autoencoders.interface import Autoencoder

CHUNK_FRAMES = 4  # frames a chunk of the identity engine, as of the embedded model


class Options(TypedDict):
    """The options that every engine with a network takes."""

    width: int  # pixels
    height: int  # pixels
    fps: float
    steps: int | None
    seed: int
    prompt: str | None


class TorchOptions(Options):
    """The options that both engines of checkpoints take besides."""

    threads: int
    device: str
    precision: Precision | None
    adapter: Path | str | Sequence[tuple[Path | str, float]]
    ignore_unsupported: bool
    autoencoder: Autoencoder | None


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
    precision: Precision | None = None,
    compile: bool = False,
    adapter: Path | str | Sequence[tuple[Path | str, float]] = (),
    ignore_unsupported: bool = False,
    recompute_reference: bool = False,
    guidance: float | None = None,
    negative: str | None = None,
    clip: int | None = None,
    autoencoder: str | None = None,
    cameras: int = 1,
) -> LoadedEngine:
    """Return the engine called `embedded` or `identity`, or the one that a folder holds.

    A folder with manifest.json (an export) runs in ONNX Runtime, one with profile.json (a
    checkpoint) in torch, one with plans.json (a build) in TensorRT. What runs where is logged.

    Args:
        name: `embedded`, `identity` or a folder.
        width: width of the pictures, in pixels.
        height: height of the pictures, in pixels.
        fps: frames per second of the engine's chunks.
        steps: denoise steps of a chunk; the model's own number by default.
        seed: seed of the noise.
        threads: CPU threads; 0 for all cores.
        device: cpu, cuda or cuda:N. By default a checkpoint and a build run on the GPU where there
            is one, and everything else on the CPU.
        prompt: the first prompt; the model's own by default.
        precision: fp32, bf16 or fp8, for a checkpoint only; bf16 on a GPU by default.
        compile: compile a checkpoint's networks first.
        adapter: a LoRA file for a checkpoint, or files and their strengths.
        ignore_unsupported: load only the plain LoRA layers of files that hold other layers as well.
        recompute_reference: compute the reference again in every pass, to measure what its cache
            saves; for an export and a checkpoint.
        guidance: realize whole clips in many steps with classifier-free guidance of this scale (1:
            without guidance); for recordings, with a checkpoint. See `QualityEngine`.
        negative: the prompt that guidance leads away from.
        clip: frames of a whole clip.
        autoencoder: what is used in place of the model's own: wan (Wan's, which an imported
            checkpoint keeps), taehv:FILE, or the folder of a checkpoint or a Wan pipeline.
        cameras: with several, all of this size, the engine is a RigEngine: it holds its weights
            once and realizes their chunks together, a checkpoint as one batch.

    Raises:
        ConfigError: the name is none of these, or this kind of engine does not have an option.
    """
    for_torch = {
        "precision": precision,
        "compile": compile,
        "adapter": adapter,
        "ignore_unsupported": ignore_unsupported,
        "guidance": guidance,
        "negative": negative,
        "clip": clip,
        "autoencoder": autoencoder,
    }
    if name == "identity":
        check_none(for_torch | {"steps": steps, "device": device}, "the identity engine")
        identity = IdentityEngine(
            ChunkSpec(frames=CHUNK_FRAMES, height=height, width=width, fps=fps), cameras=cameras
        )
        identity.set_prompt(prompt or AS_SIMULATED)
        return identity
    folder = EMBEDDED_FOLDER if name == "embedded" else Path(name)
    options = Options(width=width, height=height, fps=fps, steps=steps, seed=seed, prompt=prompt)
    if name == "embedded" or (folder / "manifest.json").is_file():
        check_none(for_torch, f"an export ({name}), whose graphs are fixed")
        from realmaster_live.engines.onnx_engine import OnnxEngine

        on_cpu = device in (None, "cpu")
        cores = threads or os.cpu_count() or 1
        at_once = min(cameras, cores) if on_cpu else 1
        exported = OnnxEngine(
            folder,
            threads=cores // at_once if on_cpu else threads,
            device=device or "cpu",
            recompute_reference=recompute_reference,
            decodes_at_once=max(1, at_once // 2) if cameras > 1 else None,
            **options,
        )
        return exported if cameras == 1 else SiblingRig(exported, cameras, at_once=at_once)
    if (folder / MANIFEST).is_file():
        fixed = for_torch | {"recompute_reference": recompute_reference}
        check_none(fixed, f"a build ({name}), whose plans are fixed")
        number = gpu_number(device or "cuda", folder)
        require("onnx", extra="training")  # which the graphs of a build are read with
        from realmaster_live.engines.tensorrt.engine import TrtEngine

        built = TrtEngine(folder, device=number, **options)
        return built if cameras == 1 else SiblingRig(built, cameras)
    if (folder / "profile.json").is_file():
        require("torch", extra="training")
        from realmaster_live.engines.torch.device import default_device
        from realmaster_live.model.autoencoder_files import open_autoencoder

        torch_options = TorchOptions(
            threads=threads,
            device=device or default_device(),
            precision=precision,
            adapter=adapter,
            ignore_unsupported=ignore_unsupported,
            autoencoder=None if autoencoder is None else open_autoencoder(autoencoder, folder),
            **options,
        )
        if guidance is not None:
            check_none(
                {
                    "compile": compile,
                    "recompute_reference": recompute_reference,
                    "cameras": cameras != 1,
                },
                "--guidance, which realizes whole clips",
                wanted="live chunks",
            )
            from realmaster_live.engines.torch.quality import QualityEngine

            return QualityEngine(
                folder, guidance=guidance, negative=negative, clip=clip, **torch_options
            )
        check_none({"negative": negative, "clip": clip}, "none", wanted="--guidance")
        from realmaster_live.engines.torch.engine import TorchEngine

        return TorchEngine(
            folder,
            compile=compile,
            recompute_reference=recompute_reference,
            cameras=cameras,
            **torch_options,
        )
    raise ConfigError(
        "expected 'embedded', 'identity' or a folder with manifest.json (an export), profile.json "
        f"(a checkpoint) or {MANIFEST} (a build), got {name!r}: give the folder that realmaster "
        "export, training or realmaster build wrote"
    )


def check_none(
    options: Mapping[str, Any], got: str, *, wanted: str = "a checkpoint's folder"
) -> None:
    """Raise ConfigError if an option is given that this kind of engine does not have."""
    given = [f"--{name.replace('_', '-')}" for name, value in options.items() if value]
    if given:
        raise ConfigError(
            f"expected {wanted} with {', '.join(given)}, got {got}: give that, or leave "
            f"{'it' if len(given) == 1 else 'them'} out"
        )
