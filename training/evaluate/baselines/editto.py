"""Editto (Ditto): a film edited by an instruction, by the user's checkout of EzioBy/Ditto.

Its program runs in a process of its own: it needs a diffsynth that it brings itself. The LoRA for
"sim2real" is the one that fits: it was trained to turn renders into photographs.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.system.contents import sha256_of
from realmaster_live.training.evaluate.baselines.baseline import Piece
from realmaster_live.training.evaluate.baselines.fitting import (
    Frames,
    fitted_size,
    four_k_plus_one,
    lengthened,
    resized,
)
from realmaster_live.training.pairs.stage import Value
from realmaster_live.training.pairs.videos import read_video, write_video

PROGRAM = Path("inference") / "infer_ditto.py"
LORA = Path("models") / "ditto_sim2real.safetensors"
VARIABLE, ACCEPT = "DITTO_CHECKOUT", "cc-by-nc-sa-4.0"
GRID_PX = 16
LAST_CHARACTERS = 300  # of a failed program's output that an error shows


@dataclass(frozen=True, kw_only=True)
class EdittoConfig:
    """Table [editto].

    Attributes:
        accept_licence: "cc-by-nc-sa-4.0", the licence of its weights.
        checkout: folder of EzioBy/Ditto; "" takes the environment's DITTO_CHECKOUT.
        python: the program that runs it, with what the checkout needs; "" takes this one.
        lora: weights of the edit; "" takes CHECKOUT/models/ditto_sim2real.safetensors.
        prompt: the instruction; this is the one that the LoRA was trained with.
        frames: most frames of a piece. pixels: of the pictures that it works on.
        seed: of the noise. device: number of the GPU.
        timeout_s: seconds after which a piece is given up.
    """

    accept_licence: str = ""
    checkout: str = ""
    python: str = ""
    lora: str = ""
    prompt: str = "Turn it into the real domain"
    frames: int = 73
    pixels: int = 832 * 480
    seed: int = 0
    device: int = 0
    timeout_s: float = 3600.0


class Editto:
    """Edits pieces by one instruction."""

    def __init__(self, config: EdittoConfig) -> None:
        """Take the options."""
        self.config = config

    @property
    def checkout(self) -> Path:
        """Return the folder of the checkout."""
        return Path(self.config.checkout or os.environ.get(VARIABLE, ""))

    @property
    def lora(self) -> Path:
        """Return the file of the edit's weights."""
        return Path(self.config.lora or self.checkout / LORA).absolute()

    def window(self, fps: float) -> int:
        """Return the most frames of a piece."""
        return self.config.frames

    @property
    def parameters(self) -> Mapping[str, Value]:
        """What decides a film."""
        config = self.config
        return {
            "lora": sha256_of(self.lora, error=ConfigError),
            "prompt": config.prompt,
            "frames": config.frames,
            "pixels": config.pixels,
            "seed": config.seed,
        }

    def check(self) -> None:
        """Look for consent, the checkout and the LoRA."""
        if self.config.accept_licence != ACCEPT:
            raise ConfigError(
                f"expected consent to the licence of Ditto's weights ({ACCEPT}: no commercial "
                f'use), got none: read it and write accept_licence = "{ACCEPT}" into [editto]'
            )
        named = self.config.checkout or os.environ.get(VARIABLE)
        if not named or not (self.checkout / PROGRAM).is_file():
            raise ConfigError(
                f"expected a checkout of EzioBy/Ditto with {PROGRAM}, got "
                f"{named or 'no folder'}: clone it and set {VARIABLE}, or `checkout` in [editto]"
            )
        if not self.lora.is_file():
            raise ConfigError(
                f"expected the LoRA of an edit, got no file {self.lora}: download "
                "ditto_sim2real.safetensors of QingyanBai/Ditto_models, or set `lora` in [editto]"
            )

    def realize(self, piece: Piece, place: Path) -> Frames:
        """Return the piece edited."""
        frames = resized(piece.frames, fitted_size(piece.size, self.config.pixels, GRID_PX))
        frames = lengthened(frames, four_k_plus_one(len(frames)))
        with TemporaryDirectory() as name:
            render, edited = Path(name) / "render.mp4", Path(name) / "edited.mp4"
            write_video(render, frames, piece.fps, pixel_format="yuv420p")
            self._run(self.command(render, edited, frames, piece.fps), edited)
            return read_video(edited)[: len(piece.frames)]

    def command(self, render: Path, edited: Path, frames: Frames, fps: float) -> list[str]:
        """Return the command line, as the checkout's own script writes it."""
        config = self.config
        options = {
            "input_video": render,
            "output_video": edited,
            "prompt": config.prompt,
            "lora_path": self.lora,
            "num_frames": len(frames),
            "device_id": config.device,
            "height": frames.shape[1],
            "width": frames.shape[2],
            "seed": config.seed,
            "fps": round(fps),
        }
        flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        return [config.python or sys.executable, str(PROGRAM), *flags]

    def _run(self, command: list[str], edited: Path) -> None:
        """Run the program in the checkout; PairError with the end of its output if it fails."""
        try:
            done = subprocess.run(
                command,
                cwd=self.checkout,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self.config.timeout_s,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PairError(
                f"expected {command[0]} to run {PROGRAM} within {self.config.timeout_s:g} s, got "
                f"{type(error).__name__}: check python and timeout_s in [editto], then run the "
                "same command again"
            ) from error
        if done.returncode or not edited.is_file():
            output = " ".join((done.stderr or done.stdout).split())[-LAST_CHARACTERS:]
            raise PairError(
                f"expected a film of {PROGRAM}, got status {done.returncode} ({output}): run "
                f"{shlex.join(command[:2])} in {self.checkout} by hand"
            )


def make(config: EdittoConfig) -> Editto:
    """Return the method."""
    return Editto(config)
