"""The commands of the chain, and the recipes that they read.

The commands are those of `docs/training.md`. They run in a folder that holds what that page names:
the model folders WAN, VACE and EDITOR, TAEHV's file, and the shipped recipes, cut down to the
fewest steps that still end in a model.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch

from realmaster_live.training.pairs.rules import RULES
from realmaster_live.training.recipe_tables import to_toml
from realmaster_live.training.rehearsal.chain import Step
from realmaster_live.training.rehearsal.folders import EDITOR, TAEHV, VACE, WAN

PROFILE = "wan-1.3b-480"
FPS = 20
DRIVE_S, LIVE_S = 2, 2
CLIP_FRAMES = 37  # a first latent of one frame, and three chunks of three latents
EDITED_PIXELS = 2**15  # the editor takes no side below 64
RECIPES = {
    "pairs": "pairs-wan.toml",
    "fit": "ic-lora-wan-1.3b.toml",
    "distill": "distill-wan-1.3b.toml",
}
ADAPTER = "STUDENT/checkpoint/adapter.safetensors"


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """The settings of a rehearsal.

    Attributes:
        folder: the folder that holds the models and gets all results.
        port: port of a running town. size: (width, height) of all pictures in pixels.
        device: device of every network. bfloat16: whether networks are trained in bfloat16.
    """

    folder: Path
    port: int
    size: tuple[int, int]
    device: str
    bfloat16: bool

    def write_recipes(self) -> None:
        """Write the shipped recipes with a rehearsal's overrides."""
        for stage, overrides in self._overrides().items():
            shipped = files("realmaster_live.training") / "recipes" / RECIPES[stage]
            tables = merged(tomllib.loads(shipped.read_text(encoding="utf-8")), overrides)
            (self.folder / RECIPES[stage]).write_text(to_toml(tables), encoding="utf-8")

    def _overrides(self) -> dict[str, dict[str, Any]]:
        """Return recipe name -> overrides of the shipped recipe."""
        width, height = self.size
        weights = "bf16" if self.bfloat16 else "fp32"
        once = {"steps": 1, "accumulate": 1, "warm_up": 0}
        return {
            "pairs": {
                "plan": {"frames": CLIP_FRAMES, "fps": float(FPS), "size": f"{width}x{height}"},
                "anchors": {
                    "editor": "flux2-klein-4b",
                    "folder": EDITOR,
                    "device": self.device,
                    "steps": 1,
                    "tries": 1,
                    "pixels": max(width * height, EDITED_PIXELS),
                    "max_shift_px": 1e6,  # pictures of random weights cannot be aligned
                    "min_edge_f1": 0.0,
                },
                "propagate": {"folder": VACE, "device": self.device, "steps": 1, "guidance": 1.0},
                "gate": {rule.key: False for rule in RULES},
                "split": {"by": "route", "val_share": 0.5, "test_share": 0.0},
                "encode": {
                    "autoencoder": WAN,
                    "text_encoder": WAN,
                    "text_tokens": 16,
                    "device": self.device,
                },
            },
            "fit": {
                "adapter": {"rank": 2, "alpha": 2.0},
                "conditions": {"chunks": 2},
                "optimizer": once,
                "memory": {"bfloat16": self.bfloat16, "weights": weights},
                "validation": {"clips": 1, "chunks": 2, "steps": 2, "guidance": 1.0},
            },
            "distill": {
                "weights": weights,
                "bfloat16": self.bfloat16,
                "rank": 2,
                "chunks": 2,
                "student": once,
                "critic": {"accumulate": 1},
                "discriminator": {"accumulate": 1},
                "dmd2": {"critic_steps": 1, "width": 16, "depth": 1},
                "gates": {"clips": 1},
            },
        }

    def steps(self) -> list[Step]:
        """Return the commands in order."""
        world = f"--port {self.port} --size {{}}x{{}} --fps {FPS}".format(*self.size)
        device = f"--device {self.device}"
        taehv = f"--profile {PROFILE} --autoencoder taehv:{TAEHV} --prompts"
        return [
            *(
                Step(
                    name=f"record {drive}",
                    command=f"record {drive} {world} --seconds {DRIVE_S} --engine identity",
                    makes=(drive,),
                )
                for drive in ("drive-01", "drive-02")  # one trains, the other validates
            ),
            Step(
                name="pairs",
                command=f"pairs run SET drive-01 drive-02 --recipe {RECIPES['pairs']} --no-pilot",
                makes=("SET",),
                resumes=True,
            ),
            Step(
                name="fit",
                command=f"fit {RECIPES['fit']} --data SET --out TEACHER --base {WAN} {device}",
                makes=("TEACHER/adapter.safetensors",),
                resumes=True,
            ),
            Step(
                name="distill",
                command=f"distill {RECIPES['distill']} --data SET "
                f"--teacher {WAN}+TEACHER/adapter.safetensors --out STUDENT {device}",
                makes=(ADAPTER,),
                resumes=True,
            ),
            Step(
                name="model import",
                command=f"model import {WAN} {taehv} --out MODEL",
                makes=("MODEL",),
            ),
            Step(
                name="attach",
                command=f"attach {world} --engine MODEL --adapter {ADAPTER} --seconds {LIVE_S} "
                f"--record live-01 {device}",
                makes=("live-01",),
            ),
            Step(
                name="export",
                command=f"export MODEL --adapter {ADAPTER} --out EXPORTED "
                "--to checkpoint,lora,onnx",
                makes=("EXPORTED/checkpoint", "EXPORTED/lora", "EXPORTED/onnx"),
            ),
            Step(
                name="build",
                command="build --checkpoint EXPORTED/checkpoint --graphs EXPORTED/onnx "
                "--out PLANS --size {}x{}".format(*self.size),
                makes=("PLANS",),
                needs="tensorrt_rtx",
            ),
            Step(
                name="record live-02",
                command=f"record live-02 {world} --seconds {LIVE_S} --engine EXPORTED/onnx",
                makes=("live-02",),
            ),
            Step(
                name="dataset export",
                command="dataset export live-01 live-02 --to coco --out COCO",
                makes=("COCO",),
            ),
        ]


def merged(table: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a nested table whose entries are replaced by those of another."""
    result = dict(table)
    for key, value in overrides.items():
        inner = isinstance(value, Mapping)
        result[key] = merged(table.get(key, {}), value) if inner else value
    return result


def multiplies_bfloat16(device: str) -> bool:
    """Return whether a device has instructions for products in bfloat16.

    A processor without them takes six times as long as in float32 (AVX2, 1024x1536 by 1536x8960).
    """
    if device != "cpu":
        return True
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
