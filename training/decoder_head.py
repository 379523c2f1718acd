"""Trains the head behind a tiny autoencoder's decoder, on pairs of render and truth.

The autoencoder is frozen: truths are encoded, their latents get noise as a student's have errors,
and the head learns to make the truth of what is decoded and of the render.

```
OUT/{metrics.jsonl, decoder/step=N, checkpoint/}, pairs/ of a dataset's pictures
```

Legend: B crops, T frames, H W pixels, F latent frames, C latent channels.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.model.autoencoders.films import film_length
from realmaster_live.model.autoencoders.interface import empty_memories, split
from realmaster_live.model.autoencoders.render_head import RenderHead
from realmaster_live.model.autoencoders.taehv import FRAMES, Taehv
from realmaster_live.model.checkpoint import (
    AUTOENCODER_FILE,
    FACTS,
    LATENTS_OF,
    load_autoencoder,
    write_tensors,
)
from realmaster_live.model.vae import to_cells, to_pixels
from realmaster_live.system.atomic_files import write_json
from realmaster_live.training.checkpoints import latest
from realmaster_live.training.data import Clip, crop_batch, find_clips, step_rng, torch_rng
from realmaster_live.training.embedded.autoencoder import picture_loss
from realmaster_live.training.iclora.base import autoencoder_hashes
from realmaster_live.training.loop import (
    Interval,
    StageState,
    autocast,
    check_fingerprint,
    never,
    run_stage,
    write_entry,
)
from realmaster_live.training.losses import psnr
from realmaster_live.training.pairs.frames import folder_of_pairs
from realmaster_live.training.recipe import Recipe, fingerprint
from realmaster_live.training.session import use_threads

STAGE = "decoder"
LOOK_CLIPS = 4  # validation clips that are looked at


class HeadStage:
    """The head's batches, loss and validation; `chunks` of the recipe are latent frames."""

    name = STAGE

    def __init__(
        self, recipe: Recipe, autoencoder: Taehv, clips: Sequence[Clip], looked_at: Sequence[Clip]
    ) -> None:
        assert autoencoder.head is not None
        self.recipe, self.stage, self.autoencoder = recipe, recipe.decoder, autoencoder
        self.clips, self.looked_at = clips, looked_at
        self.frames = film_length(autoencoder, self.stage.chunks)

    @property
    def module(self) -> nn.Module:
        """The head."""
        assert self.autoencoder.head is not None
        return self.autoencoder.head

    def loss(self, step: int) -> dict[str, Tensor]:
        """Return the loss of a batch of crops, and the PSNR of the plain and the guided decoder."""
        rng = step_rng(self.recipe.seed, step, purpose=7)
        sim, truth = crop_batch(
            self.clips,
            rng,
            batch=self.stage.batch,
            frames=self.frames,
            height=self.stage.height,
            width=self.stage.width,
        )
        with autocast(self.recipe):
            plain, guided = self.both(sim, truth, torch_rng(rng), self.stage.noise)
        wanted = to_pixels(to_cells(truth), self.frames)
        error = guided - wanted
        with torch.no_grad():
            figures = {"plain_db": psnr(plain - wanted).mean(), "guided_db": psnr(error).mean()}
        return {"loss": picture_loss(error, self.stage), **figures}

    def both(
        self, sim: Tensor, truth: Tensor, generator: torch.Generator | None, noise: float
    ) -> tuple[Tensor, Tensor]:
        """Return what decoder and head make of truths' latents, (B, T, H, W, 3) in [-1, 1].

        `sim` and `truth` are (B, T, H, W, 3) uint8.
        """
        batch, _, height, width, _ = sim.shape
        short = self.autoencoder.latent_frames - self.autoencoder.first_latent_frames
        whole, guide = (
            to_cells(torch.cat((film[:, :1].expand(-1, short, -1, -1, -1), film), 1))
            for film in (truth, sim)
        )
        with torch.no_grad():
            first, second = (
                memory.to(sim.device)
                for memory in empty_memories(self.autoencoder, batch, height, width)
            )
            latent, _ = self.autoencoder.encode(whole, first)
            latent = latent.float()
            if generator is not None:
                shape = (batch, *[1] * (latent.ndim - 1))
                amount = torch.rand(shape, generator=generator, device=sim.device) * noise
                drawn = torch.randn(latent.shape, generator=generator, device=sim.device)
                latent = latent + amount * latent.std() * drawn
            decoded, _ = self.autoencoder.decode(latent, None, second)
        each = split(latent).flatten(0, 1).repeat_interleave(FRAMES, 0)
        corrected = self.module(decoded, guide, each)
        plain, guided = (
            to_pixels(cells.float(), len(cells) // batch)[:, short:]
            for cells in (decoded, corrected)
        )
        return plain, guided

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Return the mean PSNR of both decoders on the first frames of validation clips."""
        figures: dict[str, list[float]] = {"plain_db": [], "guided_db": []}
        for clip in self.looked_at:
            sim, truth = (film[None, : self.frames] for film in clip.pixels)
            with autocast(self.recipe):
                made = self.both(sim, truth, None, 0.0)
            wanted = to_pixels(to_cells(truth), self.frames)
            for name, film in zip(figures, made, strict=True):
                figures[name].append(float(psnr(film - wanted).mean()))
        return {name: round(sum(each) / len(each), 3) for name, each in figures.items()}


class HeadRun:
    """A training run in its folder; the same call goes on where it was left."""

    def __init__(
        self,
        recipe: Recipe,
        data: Path,
        out: Path,
        base: Path,
        accepted: Collection[str] = (),
        stop: Callable[[], bool] = never,
    ) -> None:
        """Read the checkpoint onto torch's default device; it gets a new head if it has none.

        `data` is a folder of pairs, or a dataset, whose pictures are then kept in `out`. Where
        `stop` returns true, the run saves and ends within a step.

        Raises:
            ConfigError: the checkpoint has another autoencoder than a tiny one.
            PairError: clips are too short or too small for the recipe.
        """
        use_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        autoencoder = load_autoencoder(base)
        if not isinstance(autoencoder, Taehv):
            raise ConfigError(
                f"expected a checkpoint with a tiny autoencoder in {base}, got "
                f"{type(autoencoder).__name__}: import the model with --autoencoder taehv:FILE"
            )
        autoencoder.requires_grad_(False)
        if autoencoder.head is None:
            with torch.device("cpu"):
                head = RenderHead(autoencoder.latent_channels, autoencoder.latent_stride)
            autoencoder = Taehv(autoencoder.layout, head).eval()
            autoencoder.requires_grad_(False)
            autoencoder.load_state_dict(load_autoencoder(base).state_dict(), strict=False)
        assert autoencoder.head is not None
        autoencoder.head.requires_grad_(True)
        self.autoencoder = autoencoder.to(torch.get_default_device())
        self.recipe, self.base, self.out = recipe, base, out
        self.accepted, self.stop = accepted, stop
        pairs = folder_of_pairs(data, out / "pairs")
        self.clips = find_clips(pairs, "training")
        self.stage = HeadStage(
            recipe, self.autoencoder, self.clips, find_clips(pairs, "validation")[:LOOK_CLIPS]
        )
        self.check_sizes()

    def check_sizes(self) -> None:
        """Raise an error unless the crops fit the clips and the latents."""
        stage, stride = self.recipe.decoder, self.autoencoder.latent_stride
        if stage.height % stride or stage.width % stride:
            raise ConfigError(
                f"expected height and width of multiples of {stride} in [decoder], got "
                f"{stage.width}x{stage.height}: change them"
            )
        for clip in (*self.clips, *self.stage.looked_at):
            height, width = clip.size
            if len(clip) < self.stage.frames or height < stage.height or width < stage.width:
                raise PairError(
                    f"expected clips of {self.stage.frames} frames and {stage.width}x"
                    f"{stage.height} pixels or more, got {clip.name} of {len(clip)} and "
                    f"{width}x{height}: lower chunks, height or width in [decoder]"
                )

    def train(self) -> bool:
        """Train to the end and write the checkpoint; return False if a signal ended it."""
        self.out.mkdir(parents=True, exist_ok=True)
        conditions = {**fingerprint(self.recipe, STAGE), "clips": [c.name for c in self.clips]}
        found = latest(self.out / STAGE)
        if found is not None:
            check_fingerprint(found[1]["conditions"], conditions, self.out / STAGE, self.accepted)
        state = StageState(self.stage.module, self.recipe.decoder.optimization)
        finished = run_stage(
            self.stage,
            state,
            self.out / STAGE,
            facts=lambda: {"conditions": conditions},
            save=Interval(seconds=self.recipe.save_s),
            validate=Interval(seconds=self.recipe.validate_s),
            log=lambda entry: write_entry(self.out, entry),
            stop=self.stop,
        )
        if finished:
            self.write(state.step)
        return finished

    def write(self, steps: int) -> None:
        """Write the base's checkpoint with the trained head; large files are shared by links."""
        folder = self.out / "checkpoint"
        folder.mkdir(exist_ok=True)
        for path in sorted(self.base.rglob("*")):
            target = folder / path.relative_to(self.base)
            if path.is_file() and path.name not in (AUTOENCODER_FILE, FACTS):
                target.parent.mkdir(parents=True, exist_ok=True)
                _link(path, target)
        write_tensors(folder / AUTOENCODER_FILE, self.autoencoder.state_dict())
        known = self.base / FACTS
        facts: dict[str, Any] = json.loads(known.read_text()) if known.is_file() else {}
        facts[LATENTS_OF] = sorted(autoencoder_hashes(self.base))
        head = {"steps": steps, "clips": len(self.clips), "seed": self.recipe.seed}
        write_json(folder / FACTS, {**facts, "head": head})


def _link(path: Path, target: Path) -> None:
    """Give a file another name, or copy it where the file system has no links."""
    target.unlink(missing_ok=True)
    try:
        os.link(path, target)
    except OSError:
        shutil.copyfile(path, target)
