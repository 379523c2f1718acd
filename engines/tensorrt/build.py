"""Builds TensorRT plans from a checkpoint: merge, export, check, compile, and write a manifest.

Everything is in one folder: `graphs/` (the export, which ONNX Runtime also runs), `prepared/`
(the same at one size and precision), a plan for each graph, and `plans.json`.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from realmaster_live.engines.export.export import STEP_CHOICES, checkpoint_hashes, export
from realmaster_live.engines.manifest import describe_files
from realmaster_live.engines.manifest import read_manifest as read_export
from realmaster_live.engines.program.chunk_program import ChunkProgram, Sizes
from realmaster_live.engines.program.prepare import Prepared, prepare_graphs, sizes_of
from realmaster_live.engines.program.rehearsal import (
    COLUMNS,
    ROWS,
    OpenTorch,
    check,
    differences,
    limits,
    realize_noise,
    rehearse,
)
from realmaster_live.engines.sizes import check_size, fitting_sizes
from realmaster_live.engines.tensorrt.compilers import Flavour, compile_plan, find_flavour
from realmaster_live.engines.tensorrt.cuda_driver import Gpu, find_gpu
from realmaster_live.engines.tensorrt.plans import (
    GRAPHS_FOLDER,
    MANIFEST,
    plan_key,
    read_manifest,
    write_manifest,
)
from realmaster_live.engines.tensorrt.request import BuildRequest
from realmaster_live.errors import BuildError, ConfigError, OutOfMemory
from realmaster_live.model.checkpoint import load_checkpoint, read_profile, save_checkpoint
from realmaster_live.model.cost import BYTES, cost
from realmaster_live.model.lora_files import load as load_lora
from realmaster_live.model.profile import PROFILES, Profile
from realmaster_live.prompts import PROMPTS_FILE
from realmaster_live.system.contents import sha256_of
from realmaster_live.system.texts import read_object

logger = logging.getLogger(__name__)

PREPARED_FOLDER, MERGED_FOLDER = "prepared", "merged"
SOURCE_FILE = "source.json"


def build(request: BuildRequest, report: Callable[[str], None] = logger.info) -> dict[str, Any]:
    """Make or update a build; return its manifest. Plans whose key is unchanged are reused.

    Raises:
        ConfigError: the request contradicts itself or the checkpoint.
        BuildError: a step failed, or a result is beyond its tolerance.
        OutOfMemory: the GPU here is too small.
        MissingDependency: no TensorRT is installed.
    """
    profile = check_request(request)
    gpu = find_gpu()
    flavour = find_flavour(request.compiler, gpu=gpu is not None)
    check_machine(request, profile, flavour, gpu)
    report(f"{flavour.name} {flavour.version}, {_gpu_text(gpu)}")
    previous = _previous_manifest(request.out)
    source = _source(request)
    exported = request.out / GRAPHS_FOLDER
    manifest = _export(request, source, exported, report)
    sizes = sizes_of(
        manifest,
        width=request.width,
        height=request.height,
        steps=request.steps or manifest["steps"],
    )
    folder = request.out / PREPARED_FOLDER
    prepared = prepare_graphs(exported, folder, sizes, precision=request.precision)
    report(f"prepared the graphs for {request.width}x{request.height}, {request.precision}")
    rehearsal = rehearse(
        exported, manifest, precision=request.precision, torch_engine=_opener(request)
    )
    report(
        f"parity with ONNX Runtime: {rehearsal['levels']:.0f} levels at most, "
        f"{rehearsal['mean_levels']:.3g} on average"
    )
    if "torch_levels" in rehearsal:
        report(
            f"torch in {request.precision} is {rehearsal['torch_levels']:.0f} levels off, "
            f"{rehearsal['torch_mean_levels']:.3g} on average: this network amplifies rounding"
        )
    built_for = {
        "flavour": flavour.name,
        "version": flavour.version,
        "sm": gpu.sm if gpu else None,
        "driver": gpu.driver if gpu else None,
        "precision": request.precision,
    }
    plans = _compile(request, flavour, prepared, sizes, built_for, previous, report)
    record = {
        **built_for,
        "gpu": gpu.name if gpu else None,
        "width": request.width,
        "height": request.height,
        "steps": len(sizes.sigmas) - 1,
        "sizes": asdict(sizes),
        "profile": profile.as_dict(),
        "sigmas": manifest["sigmas"],
        "prompts": manifest.get("prompts", []),
        **source,
        "onnx": prepared.contents,
        "graphs": {name: ports.as_dict() for name, ports in prepared.ports.items()},
        "plans": plans,
        "files": _files(request.out, list(plans.values())),
        "parity": {"export": manifest["parity"], "program": rehearsal, "plans": None},
        "memory_bytes": ChunkProgram(prepared.ports, sizes).layout.bytes,
    }
    write_manifest(request.out, record)
    if gpu is None:
        report("no NVIDIA GPU here: the plans' own parity is not checked, and they cannot run here")
    else:
        most = limits(request.precision, rehearsal)
        record["parity"]["plans"] = _check_plans(request, exported, sizes, most)
        write_manifest(request.out, record)
        report(f"parity of the plans: {record['parity']['plans']['levels']:.0f} levels at most")
    _delete_unused_plans(previous, plans, request.out)
    return record


def check_request(request: BuildRequest) -> Profile:
    """Check the request against the checkpoint; return the checkpoint's profile."""
    if request.profile is not None and request.profile not in PROFILES:
        known = ", ".join(PROFILES)
        raise ConfigError(
            f"expected a profile among {known}, got {request.profile!r}: use one of them"
        )
    path = request.checkpoint / "profile.json"
    what, remedy = "a checkpoint with profile.json", "give the folder that training wrote"
    values = read_object(path, what=what, remedy=remedy, error=BuildError)
    profile = Profile.from_dict(values, source=f"the profile in {path}")
    if request.profile not in (None, profile.name):
        raise ConfigError(
            f"expected a checkpoint of {request.profile}, got one of {profile.name} in "
            f"{request.checkpoint}: give --profile {profile.name}, or another checkpoint"
        )
    if profile.experts > 1:
        raise ConfigError(
            f"expected a profile of one expert, got {profile.name} with {profile.experts}: "
            "run it in torch, which plans cannot replace yet"
        )
    check_size(request.width, request.height, profile.token_stride)
    if request.steps is not None and request.steps not in STEP_CHOICES:
        raise ConfigError(
            f"expected steps among {', '.join(map(str, STEP_CHOICES))}, got {request.steps}: "
            "choose one of them"
        )
    if request.adapter and request.graphs is not None:
        raise ConfigError(
            "expected --adapter or --graphs, got both: export the merged weights first"
        )
    for file, _ in request.adapter:
        if not file.is_file():
            raise ConfigError(f"expected a LoRA file at {file}, got none: check the path")
    return profile


def check_machine(
    request: BuildRequest, profile: Profile, flavour: Flavour, gpu: Gpu | None
) -> None:
    """Raise an error if this machine cannot build the plans, or not hold them in memory."""
    if gpu is None:
        if not flavour.builds_without_gpu:
            raise BuildError(
                f"expected an NVIDIA GPU to build a plan of {flavour.name}, got none: build on the "
                "machine that will run it, or use tensorrt_rtx, which builds without one"
            )
        return
    if not flavour.serves(gpu.sm):
        raise BuildError(
            f"expected a GPU that {flavour.name} has code for, got {gpu.name} (SM {gpu.sm}): "
            "install tensorrt for it, or use the torch engine"
        )
    need = memory_needed(request, profile)
    if need > gpu.total_bytes:
        width, height = fitting_sizes(
            request.width // 2, request.height // 2, profile.token_stride
        )[0]
        raise OutOfMemory(
            f"expected about {need / 1e9:.1f} GB of GPU memory for {profile.name} at "
            f"{request.width}x{request.height}, got {gpu.total_bytes / 1e9:.1f} GB of {gpu.name}: "
            f"use a smaller size such as {width}x{height}, or a smaller profile"
        )


def memory_needed(request: BuildRequest, profile: Profile) -> int:
    """Return an estimate of the bytes that plans and buffers take on the GPU."""
    need = cost(profile, height=request.height, width=request.width)
    scale = {"bf16": 1, "fp32": 4 // BYTES}[request.precision]
    copies = 2 if profile.in_context else 1  # the plans of context and denoise each hold weights
    return scale * (copies * need.weight_bytes + need.kv_bytes + need.activation_bytes)


def _source(request: BuildRequest) -> dict[str, Any]:
    """Return the hashes of the graphs' sources: checkpoint and LoRAs."""
    return {
        "checkpoint": checkpoint_hashes(request.checkpoint),
        "loras": [
            {"file": path.name, "sha256": sha256_of(path, error=BuildError), "strength": strength}
            for path, strength in request.adapter
        ],
    }


def _export(
    request: BuildRequest,
    source: Mapping[str, Any],
    exported: Path,
    report: Callable[[str], None],
) -> dict[str, Any]:
    """Return the export's manifest; an unchanged export is kept, and one that is given is taken."""
    note = exported / SOURCE_FILE
    kept = _kept_manifest(exported, source)
    if kept is not None:
        report("kept the exported graphs: checkpoint and LoRAs are unchanged")
        return kept
    if request.graphs is not None:
        manifest = _take(request.graphs, source, exported)
        note.write_text(json.dumps(source))
        report(f"took the graphs in {request.graphs}")
        return manifest
    folder = request.checkpoint
    if request.adapter:
        folder = request.out / MERGED_FOLDER
        _merge(request, folder, report)
    stride = read_profile(folder).token_stride
    started = time.monotonic()
    manifest = export(folder, exported, height=ROWS * stride, width=COLUMNS * stride)
    note.write_text(json.dumps(source))
    count = sum(name.endswith(".onnx") for name in manifest["files"])
    report(f"exported {count} graphs in {time.monotonic() - started:.0f} s")
    return manifest


def _take(graphs: Path, source: Mapping[str, Any], exported: Path) -> dict[str, Any]:
    """Copy an export that is whole and of the request's checkpoint; return its manifest."""
    manifest = read_export(graphs)
    for fact, wanted in (("checkpoint", source["checkpoint"]), ("precision", "float16")):
        if manifest.get(fact) != wanted:
            raise ConfigError(
                f"expected graphs of the checkpoint in float16 in {graphs}, got another {fact}: "
                "export the checkpoint --to onnx, or leave --graphs out"
            )
    shutil.copytree(graphs, exported, dirs_exist_ok=True)
    return manifest


def _merge(request: BuildRequest, folder: Path, report: Callable[[str], None]) -> None:
    """Write the checkpoint with all LoRAs merged into a folder."""
    autoencoder, transformer = load_checkpoint(request.checkpoint)
    for path, strength in request.adapter:
        adapter = load_lora(path, transformer)
        adapter.strength = strength
        adapter.merge()
        adapter.detach()
        report(f"merged {path.name} at strength {strength:g}")
    save_checkpoint(folder, autoencoder, transformer)
    if (request.checkpoint / PROMPTS_FILE).is_file():
        shutil.copy(request.checkpoint / PROMPTS_FILE, folder)


def _kept_manifest(exported: Path, source: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of an earlier export of the same source whose files are whole.

    None where there is none, or where it is damaged: then it is exported again.
    """
    again = "export it again"
    try:
        note = read_object(
            exported / SOURCE_FILE, what="an export's source", remedy=again, error=BuildError
        )
        return read_export(exported) if note == source else None
    except BuildError:
        return None


def _compile(
    request: BuildRequest,
    flavour: Flavour,
    prepared: Prepared,
    sizes: Sizes,
    built_for: Mapping[str, Any],
    previous: Mapping[str, Any],
    report: Callable[[str], None],
) -> dict[str, str]:
    """Return graph -> file of its plan; compile those that are not there yet."""
    plans = {}
    for name, ports in prepared.ports.items():
        facts = {**built_for, "onnx": prepared.contents[name], "shapes": ports.as_dict()}
        file = f"{name}-{plan_key({**facts, 'lengths': sizes.lengths})}.plan"
        plans[name] = file
        if file in previous.get("files", {}):
            report(f"{name}: kept, nothing changed")
            continue
        started = time.monotonic()
        plan = compile_plan(
            flavour,
            request.out / PREPARED_FOLDER / f"{name}.onnx",
            ports,
            lengths=sizes.lengths,
        )
        (request.out / file).write_bytes(plan)
        seconds = time.monotonic() - started
        report(f"{name}: {len(plan) / 2**20:.1f} MiB in {seconds:.0f} s")
    return plans


def _opener(request: BuildRequest) -> OpenTorch:
    """Return what opens the torch engine of a build's weights at a size, in its precision."""
    from realmaster_live.engines.torch.engine import TorchEngine

    folder = request.out / MERGED_FOLDER if request.adapter else request.checkpoint
    return lambda width, height: TorchEngine(
        folder, width=width, height=height, precision=request.precision
    )


def _check_plans(
    request: BuildRequest, exported: Path, sizes: Sizes, most: tuple[float, float]
) -> dict[str, float]:
    """Return how far the plans are from ONNX Runtime; raise BuildError beyond `most`."""
    from realmaster_live.engines.onnx_engine import OnnxEngine
    from realmaster_live.engines.tensorrt.engine import TrtEngine

    steps = len(sizes.sigmas) - 1
    try:
        with (
            OnnxEngine(exported, width=request.width, height=request.height, steps=steps) as truth,
            TrtEngine(request.out) as engine,
        ):
            chunks = max(sizes.sink + 2 * sizes.ring + 1, 2)
            figures = differences(
                (realize_noise(truth, index) for index in range(chunks)),
                lambda chunk, reset: engine.realize(chunk).frames,
            )
            check(figures, most, request.precision)
            return figures
    except BuildError:
        (request.out / MANIFEST).unlink()
        raise


def _files(out: Path, plans: list[str]) -> dict[str, dict[str, Any]]:
    """Return hash and size of every file of a build."""
    made = [
        path.relative_to(out).as_posix()
        for folder in (GRAPHS_FOLDER, PREPARED_FOLDER)
        for path in sorted((out / folder).iterdir())
    ]
    return describe_files(out, [*plans, *made])


def _previous_manifest(out: Path) -> dict[str, Any]:
    """Return the folder's present manifest; empty if there is none that can be trusted."""
    out.mkdir(parents=True, exist_ok=True)
    try:
        return read_manifest(out)
    except BuildError:
        return {}


def _delete_unused_plans(previous: Mapping[str, Any], plans: Mapping[str, str], out: Path) -> None:
    """Delete the plans of the previous build that are no longer used."""
    for file in set(previous.get("plans", {}).values()) - set(plans.values()):
        (out / file).unlink(missing_ok=True)


def _gpu_text(gpu: Gpu | None) -> str:
    if gpu is None:
        return "no NVIDIA GPU: the memory check is skipped"
    return f"{gpu.name}, SM {gpu.sm}, driver {gpu.driver}, {gpu.total_bytes / 1e9:.0f} GB"
