"""Previews of validation clips during training: a few metrics, and a picture to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.sampling import sigmas
from realmaster_live.model.vae import StreamingAutoencoder, to_bytes, to_cells
from realmaster_live.system.pictures import write_picture
from realmaster_live.training.data import AS_SIMULATED, Clip
from realmaster_live.training.latents import encode_clip, roll_out


def next_picture(folder: Path, name: str) -> Path:
    """Return the next free `name-NN.png`; a resumed stage continues the numbering."""
    return folder / f"{name}-{len(list(folder.glob(f'{name}-*.png'))) + 1:02d}.png"


def psnr_bytes(got: NDArray[np.uint8], truth: NDArray[np.uint8]) -> float:
    """Return the peak signal to noise ratio in dB of two byte arrays."""
    error = np.mean((got.astype(np.float32) - truth.astype(np.float32)) ** 2)
    return float(10.0 * np.log10(255.0**2 / max(float(error), 1e-6)))


@torch.no_grad()
def decode_clip(
    autoencoder: StreamingAutoencoder,
    latents: Tensor,  # (n, C, h, w) normalised
    guide: NDArray[np.uint8],  # (n * T, H, W, 3)
    *,
    plain: bool = False,
    geometry: Tensor | None = None,  # (n * T or more, G, H / 2, W / 2) uint8
) -> NDArray[np.uint8]:
    """Decode a clip's latents to frames, guided by the render unless `plain`."""
    time = autoencoder.profile.chunk_frames
    _, height, width, _ = guide.shape
    memory = autoencoder.empty_memory(1, height, width)
    frames = []
    for index, latent in enumerate(latents):
        span = slice(index * time, (index + 1) * time)
        chunk = torch.from_numpy(np.array(guide[span]))
        cells = to_cells(chunk[None].to(latent.device))
        cells = torch.zeros_like(cells) if plain else cells
        shapes = None if geometry is None else geometry[span]
        decoded, memory = autoencoder.decode(latent[None], cells, memory, None, shapes)
        frames.append(to_bytes(decoded.float(), time)[0].cpu().numpy())
    return np.concatenate(frames)


def preview(
    autoencoder: StreamingAutoencoder,
    transformer: InContextTransformer | None,
    clips: Sequence[Clip],
    picture: Path,
    *,
    chunks: int = 2,
) -> dict[str, float]:
    """Return the mean PSNR of render and realized frames; write rows of render | realized | truth.

    Clips with a prompt are averaged separately. Without a transformer the truth's latents are
    decoded, with and without the guide.
    """
    time = autoencoder.profile.chunk_frames
    figures: dict[str, list[float]] = {}
    rows = []
    for clip in clips:
        sequence = encode_clip(autoencoder, clip, mirror=False, phase=0)
        count = min(chunks, len(sequence))
        sim, truth = clip.sim[: count * time], clip.truth[: count * time]
        target = sequence.target[:count]
        results = {"render": sim, "true_latents": decode_clip(autoencoder, target, sim)}
        if transformer is None:
            results["plain"] = decode_clip(autoencoder, target, sim, plain=True)
            shown = results["plain"]
        else:
            profile = transformer.profile
            made = roll_out(
                transformer,
                sequence.reference[:count, None],
                sigmas(profile.steps, profile.shift),
                torch.Generator(torch.get_default_device()).manual_seed(0),
                [clip.prompt],
            )[:, 0]
            results["realized"] = shown = decode_clip(autoencoder, made, sim)
            if profile.geometry and clip.geometry is not None:
                guided = decode_clip(autoencoder, made, sim, geometry=clip.geometry)
                results["realized, geometry"] = shown = guided
            error = torch.nn.functional.mse_loss(made, target)
            figures.setdefault("latent_mse", []).append(float(error))
        for kind, frames in results.items():
            name = kind if clip.prompt == AS_SIMULATED else f"{kind}, {clip.prompt}"
            figures.setdefault(name, []).append(psnr_bytes(frames, truth))
        last = count * time - 1
        rows.append(np.concatenate((sim[last], shown[last], truth[last]), 1))
    picture.parent.mkdir(parents=True, exist_ok=True)
    write_picture(picture, np.concatenate(rows))
    return {name: round(float(np.mean(values)), 3) for name, values in figures.items()}
