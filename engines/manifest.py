"""The description of an exported model, checked before anything is allocated for it.

An engine folder may come from an untrusted source. So the manifest may only name files inside the
folder, every value must have the right type and range, and the graphs' inputs and outputs must be
those that the manifest implies.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import BuildError
from realmaster_live.model.light_guide import LIGHTS
from realmaster_live.model.profile import Profile
from realmaster_live.system.arrays import read_array
from realmaster_live.system.contents import classify_file, sha256_of
from realmaster_live.system.inside import SafeFolder
from realmaster_live.system.texts import read_object

FORMAT = 1
SHA256 = re.compile(r"[0-9a-f]{64}")
MANIFEST = "manifest.json"
WEIGHTS_FILE = "weights.bin"  # the weights of all graphs of an export
PROMPT_PAIRS_FILE = "prompts.npy"  # (P, L, 2, 1, heads, M, head width) float32
GRAPHS = ("encode", "context", "denoise", "decode")
OUTPUTS = {"encode": 3, "context": 1, "denoise": 2, "decode": 2}
REMEDY = "export the checkpoint again"
Shape = tuple[int | None, ...]  # None: any length


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of an engine folder after checking its values and its files.

    Raises:
        BuildError: it is missing or damaged, names a missing file, or has a wrong value.
    """
    path = folder / MANIFEST
    manifest = read_object(path, what="a manifest", remedy=REMEDY, error=BuildError)
    if manifest.get("format") != FORMAT:
        raise BuildError(
            f"expected manifest format {FORMAT}, got {manifest.get('format')!r} in {path}: "
            f"{REMEDY} with this version"
        )
    profile = Profile.from_dict(manifest.get("profile"), source=f"the profile in {path}")
    derived = {
        "token_stride": profile.token_stride,
        "latent_stride": profile.latent_stride,
        "rope_widths": list(profile.rope_widths),
    }
    for key, value in derived.items():
        if manifest.get(key) != value:
            raise _wrong(path, key, f"{value}, which follows from its profile", manifest.get(key))
    _check_prompts(path, manifest.get("prompts", []))
    _check_sigmas(path, manifest.get("sigmas"), manifest.get("steps"))
    check_files(folder, manifest.get("files"), path, remedy="install or export the model again")
    needed = [f"{name}.onnx" for name in graphs_of(profile)]
    missing = [name for name in needed if name not in manifest["files"]]
    if missing:
        raise _wrong(path, "files", f"{missing[0]} among the names", sorted(manifest["files"]))
    return manifest


def describe_files(folder: Path, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the hash and size of each file, by file name."""
    return {
        name: {
            "sha256": sha256_of(folder / name, error=BuildError),
            "bytes": (folder / name).stat().st_size,
        }
        for name in names
    }


def check_files(folder: Path, files: Any, source: Path, *, remedy: str) -> None:
    """Raise BuildError unless the files in a folder have the hashes that `source` states."""
    inside = SafeFolder(folder, error=BuildError)
    if not isinstance(files, dict):
        raise _wrong(source, "files", "an object with the files' names as keys", files)
    for name, entry in files.items():
        match entry:
            case {"sha256": str(sha256), "bytes": int(size)} if SHA256.fullmatch(sha256):
                pass
            case _:
                raise _wrong(source, f"files.{name}", "an object with sha256 and bytes", entry)
        if not inside.exists(name):
            got = "no such file"
        else:
            path = inside.file(name)
            digest = sha256_of(path, error=BuildError)
            if digest == sha256:
                continue
            bytes_there = path.stat().st_size
            got = f"{bytes_there} bytes with {digest[:12]}"
            if bytes_there:
                got, remedy = classify_file(path, got, remedy)
        raise BuildError(
            f"expected {name} of {size} bytes with sha256 {sha256[:12]} in {folder}, got {got}: "
            f"{remedy}"
        )


def read_prompts(folder: Path, manifest: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    """Return each prompt's keys and values, (L, 2, 1, heads, M, head width), by name.

    Raises:
        BuildError: the model needs prompts but the export has none, or their file is damaged.
    """
    names, profile = manifest.get("prompts", []), Profile.from_dict(manifest["profile"])
    if profile.text_width and not names:
        raise BuildError(
            f"expected prompts for a model of profile {profile.name}, got none in {folder}: add "
            "their embeddings to the checkpoint's folder and export it again"
        )
    if not names:
        return {}
    path = SafeFolder(folder, error=BuildError).file(PROMPT_PAIRS_FILE)
    pairs = read_array(path, error=BuildError, remedy=REMEDY)
    shape = (len(names), profile.layers, 2, 1, profile.heads, None, profile.head_width)
    if not _fits(pairs.shape, shape) or pairs.dtype != np.float32 or not np.isfinite(pairs).all():
        raise BuildError(
            f"expected finite float32 of {_shown(shape)} in {path}, got {pairs.dtype} of "
            f"{_shown(pairs.shape)}: {REMEDY}"
        )
    return dict(zip(names, pairs, strict=True))


class Contextual(Protocol):
    """A profile or model that states whether targets attend to the reference's tokens."""

    @property
    def in_context(self) -> bool:
        """Return whether they attend to them."""


def graphs_of(model: Contextual) -> tuple[str, ...]:
    """Return the names of a model's graphs; without reference tokens there is no `context`.

    A graph's inputs may be outputs of earlier ones.
    """
    return tuple(name for name in GRAPHS if model.in_context or name != "context")


def check_graphs(
    sessions: Mapping[str, Any],
    profile: Profile,
    *,
    size: tuple[int, int],  # width, height in pixels
    prompt_tokens: int,  # 0 without prompts
    folder: Path,
) -> None:
    """Raise BuildError if a graph's inputs or outputs are not those that the profile implies."""
    for name in graphs_of(profile):
        session, path = sessions[name], folder / f"{name}.onnx"
        found = {each.name: tuple(each.shape) for each in session.get_inputs()}
        inputs = _inputs(name, profile, size, prompt_tokens)
        if name == "decode" and "guide" not in found:
            del inputs["guide"]  # not every decoder uses the render
        if found.keys() != inputs.keys():
            expected, got = ", ".join(sorted(inputs)), ", ".join(sorted(found))
            raise BuildError(f"expected inputs {expected} of {path}, got {got}: {REMEDY}")
        for key, shape in inputs.items():
            if not _fits(found[key], shape):
                raise BuildError(
                    f"expected {key} of {_shown(shape)} in {path}, got {_shown(found[key])}: "
                    f"{REMEDY}"
                )
        if len(session.get_outputs()) != OUTPUTS[name]:
            raise BuildError(
                f"expected {OUTPUTS[name]} outputs of {path}, got {len(session.get_outputs())}: "
                f"{REMEDY}"
            )


def _inputs(
    name: str, profile: Profile, size: tuple[int, int], prompt_tokens: int
) -> dict[str, Shape]:
    """Return the shape of each input of a graph, by name."""
    width, height = size
    latent = profile.latent_shape(height, width)
    ours = profile.autoencoder == "ours"
    memory = (1, profile.memory if ours else None, height // 8, width // 8)
    pairs = (profile.layers, 2, 1, profile.heads, None, profile.head_width)
    half = sum(profile.rope_widths) // 2
    stride = profile.token_stride
    tokens = profile.chunk_latents * (height // stride) * (width // stride)
    rope: dict[str, Shape] = {"cos": (tokens, half), "sin": (tokens, half)}
    prompt: dict[str, Shape] = {}
    if prompt_tokens:
        prompt = {"prompt_kv": (*pairs[:4], prompt_tokens, pairs[5])}
    match name:
        case "encode":
            light: dict[str, Shape] = {}
            if profile.light:
                light = {"light": (1, len(LIGHTS), *latent[-2:])}
            return {"frames": (profile.chunk_frames, height, width, 3), "memory": memory, **light}
        case "context":
            return {"reference": latent, **rope, **prompt}
        case "denoise":
            past: dict[str, Shape] = {"past_cos": (None, half), "past_sin": (None, half)}
            cached: dict[str, Shape] = {"past_kv": pairs}
            if profile.in_context:
                cached["reference_kv"] = pairs
            own: dict[str, Shape] = {"sample": latent, "timestep": (1,), "reference": latent}
            return {**own, **cached, **rope, **past, **prompt}
    guide: Shape = (None, None, None, None)
    beside: dict[str, Shape] = {"noise": latent} if profile.falling else {}
    beside |= {"geometry": (profile.chunk_frames, None, None, None)} if profile.geometry else {}
    return {"latent": latent, "guide": guide, "memory": memory, **beside}


def _fits(found: tuple[Any, ...], expected: Shape) -> bool:
    """Return whether a shape is the expected one; a name in it is a dynamic dimension."""
    return len(found) == len(expected) and all(
        not isinstance(one, int) or other is None or one == other
        for one, other in zip(found, expected, strict=True)
    )


def _shown(shape: tuple[Any, ...]) -> str:
    return "[" + ", ".join("any" if each is None else str(each) for each in shape) + "]"


def _check_prompts(path: Path, names: Any) -> None:
    texts = isinstance(names, list) and all(isinstance(name, str) and name for name in names)
    if not texts or len(set(names)) != len(names):
        raise _wrong(path, "prompts", "a list of distinct names", names)


def _check_sigmas(path: Path, levels: Any, steps: Any) -> None:
    if not isinstance(levels, dict) or not isinstance(steps, int) or str(steps) not in levels:
        raise _wrong(path, "sigmas", f"the noise levels for {steps!r} steps", levels)
    for key, values in levels.items():
        numbers = isinstance(values, list) and all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in values
        )
        falls = numbers and len(values) > 1 and values[0] <= 1 and values[-1] == 0
        if not falls or any(a <= b or not math.isfinite(a) for a, b in pairwise(values)):
            raise _wrong(path, f"sigmas.{key}", "noise levels that fall from 1 to 0", values)


def _wrong(path: Path, key: str, expected: str, got: Any) -> BuildError:
    text = repr(got)
    text = text if len(text) <= 80 else f"{text[:77]}..."
    return BuildError(f"expected {expected} as {key} in {path}, got {text}: {REMEDY}")
