"""Clips of pairs on disk, and random crops of them as a pure function of (seed, step).

Tensors are made on torch's default device.

A folder holds, for every clip, `<clip>.sim.npy` and `<clip>.truth.npy`, both (T, H, W, 3) uint8,
and `<clip>.json` with at least `seed`; in rain or snow also `<clip>.calm.npy`, the truth without
drops or flakes; and, where they were rendered, labels in `<clip>.labels.npz`. The seed decides a
clip's split: training, validation (for choices made during training) or held out (for the figures
that are reported).
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realmaster_live.errors import PairError, reason
from realmaster_live.frames.geometry import pinhole
from realmaster_live.frames.weather import sun_direction
from realmaster_live.model.geometry_guide import geometry_of
from realmaster_live.model.light_guide import light_of
from realmaster_live.system.contents import classify_file
from realmaster_live.system.inside import check_regular, open_regular
from realmaster_live.system.records import decode, encode

VALIDATION_FROM, HELD_OUT_FROM = 900, 1000  # first seed of each split
Split = Literal["training", "validation", "held out"]
DEFAULT_FOV_DEG = 80.0  # of clips that do not state their camera's: the mean of all drives
PITCH = 3  # its place among the numbers of a mount
AS_SIMULATED = "as simulated"  # the prompt of a clip whose truth has the simulated weather


@dataclass(frozen=True, kw_only=True)
class Clip:
    """One rendered and path-traced clip; the arrays are memory-mapped."""

    name: str
    seed: int
    facts: dict[str, Any]
    sim: NDArray[np.uint8]  # (T, H, W, 3)
    truth: NDArray[np.uint8]  # (T, H, W, 3)
    calm: NDArray[np.uint8] | None = None  # (T, H, W, 3)
    labels: Path | None = None  # the .npz file of `pairs render --with-labels`

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.sim)

    @property
    def split(self) -> Split:
        """Return the clip's split."""
        if self.seed >= HELD_OUT_FROM:
            return "held out"
        return "validation" if self.seed >= VALIDATION_FROM else "training"

    @property
    def size(self) -> tuple[int, int]:
        """Return height and width in pixels."""
        return self.sim.shape[1], self.sim.shape[2]

    @property
    def prompt(self) -> str:
        """Return the prompt for the weather that the truth shows."""
        return str(self.facts.get("prompt", AS_SIMULATED))

    @cached_property
    def pixels(self) -> tuple[Tensor, Tensor]:
        """Return render and calm truth, memory-mapped on a CPU and cached on another device.

        Where drops fall cannot be predicted from the render: see `model.precipitation`.
        """
        device = torch.get_default_device()
        shown = self.truth if self.calm is None else self.calm
        render, truth = (torch.from_numpy(x).to(device) for x in (self.sim, shown))
        return render, truth

    @cached_property
    def classes(self) -> Tensor | None:
        """Return the class of every pixel (T, H, W) uint8; None for a clip without labels.

        Raises:
            PairError: the labels cannot be read, or are of another size than the pictures.
        """
        if self.labels is None:
            return None
        semantic = self.read_labels("semantic").get("semantic")
        if semantic is None:
            raise PairError(f"expected semantic in {self.labels}, got none: render the clip again")
        return torch.from_numpy(semantic).to(torch.get_default_device())

    @cached_property
    def geometry(self) -> Tensor | None:
        """Return the decoder's geometry (T, G, H / 2, W / 2) uint8; None without labels.

        Raises:
            PairError: the labels cannot be read, or are of another size than the pictures.
        """
        if self.labels is None:
            return None
        known = self.read_labels("depth", "semantic")
        made = geometry_of(known, self.intrinsics, self.sim.shape[:3])
        return torch.from_numpy(made).to(torch.get_default_device())

    @cached_property
    def poses(self) -> NDArray[np.float64] | None:
        """Return the camera's pose at each frame, (T, 4, 4) without a place; None if unknown."""
        return poses_of(self.facts)

    @property
    def weather(self) -> Mapping[str, float]:
        """Return the simulated weather, which a prompt's truth does not show."""
        found: Mapping[str, float] = self.facts.get("weather") or {}
        return found

    @property
    def has_sun(self) -> bool:
        """Return whether it is known where the sun stands in the pictures."""
        return self.poses is not None and sun_direction(self.weather) is not None

    def light(self, frame: int, stride: int) -> NDArray[np.float32]:  # (L, H / s, W / s)
        """Return the encoder's light at a frame; zero, which is unknown, without poses."""
        if self.poses is None:
            return light_of({}, np.eye(4), self.intrinsics, self.size, stride)
        return light_of(self.weather, self.poses[frame], self.intrinsics, self.size, stride)

    @property
    def intrinsics(self) -> NDArray[np.float64]:
        """Return the camera's intrinsics (3, 3) in pixels."""
        return optics_of(self.facts, self.size)

    def read_labels(self, *names: str) -> dict[str, NDArray[Any]]:
        """Return those of these labels that the clip's file holds, each (T, H, W).

        Raises:
            PairError: the file cannot be read, or a label is of another size than the pictures.
        """
        assert self.labels is not None
        try:
            with np.load(self.labels) as file:
                found = {name: file[name] for name in names if name in file.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            got, remedy = classify_file(self.labels, str(error), "render the clip again")
            raise PairError(f"expected labels in {self.labels}, got {got}: {remedy}") from error
        for name, label in found.items():
            if label.shape != self.sim.shape[:3]:
                raise PairError(
                    f"expected {name} {self.sim.shape[:3]} in {self.labels}, got {label.shape}: "
                    "render the clip again"
                )
        return found


def optics_of(facts: Mapping[str, Any], size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the intrinsics (3, 3) of the camera of a clip of H x W pixels, from its facts."""
    height, width = size
    return pinhole(width, height, float(facts.get("fov_deg", DEFAULT_FOV_DEG)))


def poses_of(facts: Mapping[str, Any]) -> NDArray[np.float64] | None:
    """Return the camera's pose at each frame of a clip, (T, 4, 4), from its facts, or None."""
    yaws, mount = facts.get("camera_yaw_deg"), facts.get("mount")
    if not yaws or not mount:
        return None
    return np.stack([looking(yaw, mount[PITCH]) for yaw in yaws])


def looking(yaw_deg: float, pitch_deg: float) -> NDArray[np.float64]:
    """Return the (4, 4) camera-to-world of a level camera at the origin, by CARLA's angles."""
    yaw, pitch = -np.radians(yaw_deg), np.radians(pitch_deg)
    ahead = np.array([np.cos(yaw), np.sin(yaw), 0.0])
    right = np.array([ahead[1], -ahead[0], 0.0])
    looks = np.cos(pitch) * ahead + (0.0, 0.0, np.sin(pitch))
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(looks, right), looks], 1)
    return pose


def open_array(path: Path) -> NDArray[Any]:
    """Memory-map a .npy file, copy-on-write: changes stay in memory.

    Raises:
        PairError: it is not a regular file, or is shorter than its header claims.
    """
    check_regular(path, error=PairError)
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="c")
    except (OSError, ValueError, EOFError) as error:
        got, remedy = classify_file(path, str(error), "render the clip again")
        raise PairError(f"expected an array in {path}, got {got}: {remedy}") from error
    return array


def read_clip(path: Path) -> Clip:
    """Return the clip that a JSON file describes."""
    with open_regular(path, error=PairError) as file:
        try:
            facts = decode(file.read(), dict[str, Any])
            seed = decode(encode(facts.get("seed")), int)
        except ValueError as error:
            got, remedy = classify_file(path, str(error), "render the clip again")
            raise PairError(
                f"expected the description of a pair with its seed in {path}, got {got}: {remedy}"
            ) from error
    stem = path.with_suffix("")
    try:
        sim, truth = (
            open_array(stem.with_name(f"{stem.name}.{kind}.npy")) for kind in ("sim", "truth")
        )
    except (OSError, ValueError) as error:
        raise PairError(
            f"expected {stem.name}.sim.npy and .truth.npy beside {path}, got {reason(error)}: "
            "render the clip again"
        ) from error
    if sim.shape != truth.shape or sim.ndim != 4 or sim.dtype != np.uint8:
        raise PairError(
            f"expected two (T, H, W, 3) uint8 arrays of one shape for {stem.name}, got "
            f"{sim.shape} {sim.dtype} and {truth.shape} {truth.dtype}: render the clip again"
        )
    still, labels = (stem.with_name(f"{stem.name}.{kind}") for kind in ("calm.npy", "labels.npz"))
    return Clip(
        name=stem.name,
        seed=seed,
        facts=facts,
        sim=sim,
        truth=truth,
        calm=open_array(still) if still.exists() else None,
        labels=labels if labels.exists() else None,
    )


def clip_files(folder: Path | str) -> list[Path]:
    """Return the JSON files of a folder's finished clips, sorted by name.

    Raises:
        PairError: the folder is not there or cannot be read.
    """
    try:
        paths = sorted(Path(folder).iterdir())
    except OSError as error:
        raise PairError(
            f"expected a folder of pairs at {folder}, got {reason(error)}: name the folder that "
            "realmaster pairs render wrote"
        ) from error
    return [path for path in paths if path.suffix == ".json"]


def find_clips(folder: Path | str, split: Split) -> list[Clip]:
    """Return a folder's finished clips of one split, sorted by name; PairError without any."""
    clips = [read_clip(path) for path in clip_files(folder)]
    wanted = [clip for clip in clips if clip.split == split]
    if not wanted:
        raise PairError(
            f"expected finished clips for {split} in {folder}, got none of {len(clips)}: make "
            f"pairs (seeds from {VALIDATION_FROM} validate, from {HELD_OUT_FROM} are held out)"
        )
    return wanted


def step_rng(seed: int, step: int, purpose: int = 0) -> np.random.Generator:
    """Return the random generator of a step, which decides everything random about it."""
    return np.random.Generator(np.random.Philox(key=[seed * 1009 + purpose, step]))


def torch_rng(rng: np.random.Generator) -> torch.Generator:
    """Return a torch generator seeded from a numpy one."""
    generator = torch.Generator(torch.get_default_device())
    return generator.manual_seed(int(rng.integers(2**62)))


def take(
    clip: Clip,
    *,
    start: int,
    frames: int,
    box: tuple[int, int, int, int],  # top, left, height, width in pixels
    mirror: bool,
    backwards: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return render and truth of a crop of a clip, each (frames, height, width, 3) uint8."""
    top, left, height, width = box
    flipped = [0] * backwards + [2] * mirror
    render, truth = (
        x[start : start + frames, top : top + height, left : left + width].flip(flipped)
        for x in clip.pixels
    )
    return render, truth


def random_corner(rng: np.random.Generator, size: int, crop: int, step: int) -> int:
    """Return a start in [0, size - crop] that is a multiple of `step`."""
    return int(rng.integers((size - crop) // step + 1)) * step


def crop_batch(
    clips: Sequence[Clip],
    rng: np.random.Generator,
    *,
    batch: int,
    frames: int,
    height: int,
    width: int,
    backwards_share: float = 0.2,
) -> tuple[Tensor, Tensor]:
    """Return random crops of render and truth, each (B, frames, height, width, 3) uint8."""
    sims, truths = [], []
    for _ in range(batch):
        clip = clips[int(rng.integers(len(clips)))]
        _, full_height, full_width, _ = clip.sim.shape
        box = (
            random_corner(rng, full_height, height, 1),
            random_corner(rng, full_width, width, 1),
            height,
            width,
        )
        sim, truth = take(
            clip,
            start=random_corner(rng, len(clip), frames, 1),
            frames=frames,
            box=box,
            mirror=bool(rng.random() < 0.5),
            backwards=bool(rng.random() < backwards_share),
        )
        sims.append(sim)
        truths.append(truth)
    return torch.stack(sims), torch.stack(truths)
