"""Exports a model for other tools: merged checkpoint, LoRA files in all key schemes, ONNX graphs.

Every form records the hash of the base model's weights and the licence: a checkpoint in facts.json,
a LoRA file in its header, the graphs in manifest.json.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, get_args

from realmaster_live.errors import BuildError, ConfigError
from realmaster_live.model.autoencoder_files import WAN
from realmaster_live.model.checkpoint import FACTS, LATENTS_OF, save_checkpoint
from realmaster_live.model.importing import LICENCES
from realmaster_live.model.lora_facts import LoraFacts
from realmaster_live.model.lora_files import load, save
from realmaster_live.model.lora_keys import Scheme
from realmaster_live.prompts import PROMPTS_FILE
from realmaster_live.system.atomic_files import write_json
from realmaster_live.system.contents import sha256_of
from realmaster_live.training.distillation.networks import Teacher
from realmaster_live.training.iclora.base import Base, check_adapter

Form = Literal["checkpoint", "lora", "onnx"]
FORMS: tuple[Form, ...] = get_args(Form)


def parse_forms(text: str) -> tuple[Form, ...]:
    """Return the forms in a comma-separated list, each once, in the order they are made."""
    wanted = text.split(",")
    unknown = sorted({*wanted} - {*FORMS})
    if unknown:
        raise ConfigError(
            f"expected forms among {', '.join(FORMS)}, got {', '.join(unknown)}: give some of "
            "them with commas between"
        )
    return tuple(form for form in FORMS if form in wanted)


def merge(source: Teacher, folder: Path, *, strength: float = 1.0) -> None:
    """Write a checkpoint, with an adapter (if given) merged into the weights at `strength`.

    Raises:
        BuildError: the adapter was trained on other weights, or the model has no autoencoder.
    """
    lora = source.lora_facts  # reads the base too, so before a second one is in memory
    base = source.read()
    if base.autoencoder is None:
        raise BuildError(
            f"expected a checkpoint with its autoencoder, got {source.base} of diffusers: make one "
            "with realmaster model import, or export --to lora"
        )
    if source.adapter is not None:
        check_adapter(source.adapter, base)
        adapter = load(source.adapter, base.transformer)
        adapter.strength = strength
        adapter.merge()
        adapter.detach()
    save_checkpoint(folder, base.autoencoder, base.transformer)
    prompts = source.base / PROMPTS_FILE
    if prompts.exists():
        shutil.copyfile(prompts, folder / PROMPTS_FILE)
    for beside in (LICENCES, WAN):
        if (source.base / beside).is_dir():
            shutil.copytree(source.base / beside, folder / beside, dirs_exist_ok=True)
    write_json(folder / FACTS, merged_facts(source, base, lora, strength))


def merged_facts(source: Teacher, base: Base, lora: LoraFacts, strength: float) -> dict[str, Any]:
    """Return the base's facts, with its hash, the licence, and the adapter's facts."""
    facts = {
        **source.facts(),
        LATENTS_OF: sorted(base.latents_of),
        "base_model": lora.base_model,
        "base_sha256": lora.base_sha256,
        "licence": lora.licence,
    }
    if source.adapter is None:
        return facts
    beside = source.adapter.parent / FACTS  # training writes a checkpoint beside the adapter
    trained = json.loads(beside.read_text()) if beside.exists() else {}
    about = {"sha256": sha256_of(source.adapter), "strength": strength, "facts": trained}
    return {**facts, "adapter": about}


def write_loras(source: Teacher, folder: Path) -> list[Path]:
    """Write the adapter in every key scheme; the strength is not stored."""
    if source.adapter is None:
        raise ConfigError(
            "expected --adapter FILE to export --to lora, got a checkpoint alone: give the adapter"
        )
    facts = source.lora_facts
    base = source.read()
    check_adapter(source.adapter, base)
    adapter = load(source.adapter, base.transformer)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for scheme in get_args(Scheme):
        paths.append(folder / f"{source.adapter.stem}.{scheme}.safetensors")
        save(paths[-1], adapter, scheme=scheme, facts=facts)
    return paths


def export_forms(
    source: Teacher,
    out: Path,
    forms: Sequence[Form],
    *,
    strength: float = 1.0,
    to_onnx: Callable[[Path, Path], dict[str, Any]],  # exports a checkpoint folder into a folder
) -> dict[str, Any] | None:
    """Write a model in the given forms: one form into `out`, several into folders named after them.

    Returns the manifest of the ONNX graphs, if they are among the forms. The graphs are exported
    from the
    checkpoint that was written.
    """
    if "lora" in forms and source.adapter is None:
        write_loras(source, out)  # fails on missing files, before anything is written
    folders = {form: out / form if len(forms) > 1 else out for form in forms}
    with ExitStack() as stack:
        merged = folders.get("checkpoint")
        if merged is None and "onnx" in forms:
            merged = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if merged is not None:
            merge(source, merged, strength=strength)
        if "lora" in forms:
            write_loras(source, folders["lora"])
        if "onnx" in forms:
            assert merged is not None
            return to_onnx(merged, folders["onnx"])
    return None
