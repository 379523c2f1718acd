"""Refits the tone of an exported model to pairs, in closed form, and writes the changed export.

    python benchmarks/refit_tone.py engines/weights/embedded --data PAIRS --out MODEL

The tone layer turns each latent position into one gain and one offset a colour
(`GuidedDecoder.tones`). The picture is linear in its weights, so the best ones for given pairs are
ridge regression's: Hoerl and Kennard 1970, towards the weights that are there. It needs a pass over
a few clips instead of training, and nothing but tone and light can change. The layer is stored as
float32 in `decode.onnx`, so nothing is calibrated again.

Legend: C latent channels, F = 2 (C + 1) unknowns of a colour, H W pixels, T frames of a chunk.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from realmaster_live.engines.export.restore import restore
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.sampling import sigmas
from realmaster_live.model.vae import StreamingAutoencoder, to_cells
from realmaster_live.training.data import Clip, find_clips
from realmaster_live.training.latents import Rollout, prompt_kv

LAYER = "autoencoder.decoder.tone."
COLOURS = 3
EVERY = 7  # pixels of a cell's channel are thinned out by this
MOST_CHUNKS = 3  # of each clip
KEPT = (("night", 2.0), ("fog", 1.0))  # prompts held as they are, with weights


@dataclass(frozen=True)
class Sums:
    """The normal equations of the three colours, float64."""

    unknowns: int
    squares: Tensor = field(init=False)  # (3, F, F)
    products: Tensor = field(init=False)  # (3, F)

    def __post_init__(self) -> None:
        """Begin with nothing."""
        zeros = torch.zeros(COLOURS, self.unknowns, self.unknowns, dtype=torch.float64)
        object.__setattr__(self, "squares", zeros)
        object.__setattr__(self, "products", zeros[..., 0].clone())

    def add(self, colour: int, rows: Tensor, missing: Tensor, weight: float = 1.0) -> None:
        """Add rows (N, F) and what each lacks (N,) of the truth with the present weights."""
        self.squares[colour] += weight * (rows.T @ rows)
        self.products[colour] += weight * (rows.T @ missing)

    def change(self, ridge: float) -> Tensor:
        """Return the change of the weights (3, F); `ridge` is relative to each unknown's square."""
        diagonal = torch.diagonal(self.squares, dim1=-2, dim2=-1)
        extra = torch.diag_embed(ridge * diagonal + 1e-9 * diagonal.mean(-1, keepdim=True))
        found: Tensor = torch.linalg.solve(self.squares + extra, self.products)
        return found


@torch.no_grad()
def chunks_of(
    autoencoder: StreamingAutoencoder, transformer: InContextTransformer, clip: Clip, prompt: str
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield a clip's first chunks: cells before the tone layer, the truth's, and features.

    Cells are (T, 12, H / 2, W / 2); features are the latents at every cell, and 1:
    (C + 1, H / 2, W / 2).
    """
    profile = transformer.profile
    toneless = copy.deepcopy(autoencoder)
    for parameter in toneless.decoder.tone.parameters():
        nn.init.zeros_(parameter)
    time, (height, width) = profile.chunk_frames, clip.size
    memories = [autoencoder.empty_memory(1, height, width) for _ in range(2)]
    rollout = Rollout(transformer, sigmas(profile.steps, profile.shift))
    pairs = prompt_kv(transformer, [prompt])
    stride = profile.latent_stride
    noise = torch.randn(
        (1, profile.latent_channels, height // stride, width // stride),
        generator=torch.Generator().manual_seed(0),
    )
    shown = clip.truth if clip.calm is None else clip.calm
    for start in range(0, min(len(clip) // time, MOST_CHUNKS) * time, time):
        render, truth = (
            to_cells(torch.from_numpy(np.array(film[start : start + time]))[None])
            for film in (clip.sim, shown)
        )
        light = torch.from_numpy(clip.light(start + time - 1, stride))[None]
        reference, memories[0] = autoencoder.encode(render, memories[0], light)
        latent, _ = rollout.chunk(reference, noise, pairs)
        cells, memories[1] = toneless.decode(latent, render, memories[1])
        raw = latent * autoencoder.latents_std[:, None, None]
        raw = raw + autoencoder.latents_mean[:, None, None]
        every = nn.functional.interpolate(
            raw, scale_factor=stride / 2, mode="bilinear", align_corners=False
        )
        yield cells, truth, torch.cat((every, torch.ones_like(every[:, :1])), 1)[0]


@torch.no_grad()
def refit_tone(
    autoencoder: StreamingAutoencoder,
    transformer: InContextTransformer,
    clips: Sequence[Clip],
    *,
    ridge: float,
    kept: Sequence[tuple[str, float]] = (),
) -> None:
    """Replace the tone layer's weights by those that are best for the clips.

    Args:
        autoencoder: the one whose decoder is changed.
        transformer: makes the latents.
        clips: pairs, each under its own prompt.
        ridge: how strongly the weights are held where they are.
        kept: prompts that no clip shows, with weights: their pictures are held as they are.
    """
    tone = autoencoder.decoder.tone
    assert tone.bias is not None
    weights = torch.cat((tone.weight[:, :, 0, 0], tone.bias[:, None]), 1).double()  # (6, C + 1)
    present = torch.cat(weights.chunk(2), 1)  # (3, F)
    sums = Sums(present.shape[1])
    for clip in clips:
        for prompt, weight in ((clip.prompt, 1.0), *kept):
            learnt = prompt == clip.prompt
            for cells, truth, features in chunks_of(autoencoder, transformer, clip, prompt):
                thin = features.flatten(1)[:, ::EVERY].T.double()
                for channel in range(cells.shape[1]):
                    for frame in (0, len(cells) - 1):
                        own = cells[frame, channel].flatten()[::EVERY].double()
                        rows = torch.cat((own[:, None] * thin, thin), 1)
                        wanted = truth[frame, channel].flatten()[::EVERY].double()
                        colour = channel % COLOURS
                        lacking = wanted - own - rows @ present[colour]
                        sums.add(colour, rows, lacking if learnt else 0 * lacking, weight)
                if not learnt:
                    break
    gains, offsets = (present + sums.change(ridge)).chunk(2, 1)
    fitted = torch.cat((gains, offsets))
    tone.weight.copy_(fitted[:, :-1, None, None])
    tone.bias.copy_(fitted[:, -1])


def put(path: Path, values: dict[str, np.ndarray]) -> None:
    """Replace initializers of an ONNX file by their names."""
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        if tensor.name in values:
            tensor.CopyFrom(numpy_helper.from_array(values.pop(tensor.name), tensor.name))
    if values:
        raise SystemExit(f"expected {', '.join(values)} in {path}, got none: export it again")
    onnx.save(model, path)


def main() -> None:
    """Refit, and write the export with the hash of its changed graph."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("export", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ridge", type=float, default=0.03)
    options = parser.parse_args()
    autoencoder, transformer = restore(options.export)
    clips = find_clips(options.data, "training")
    refit_tone(autoencoder, transformer, clips, ridge=options.ridge, kept=KEPT)
    shutil.copytree(options.export, options.out)
    path = options.out / "decode.onnx"
    tone = autoencoder.decoder.tone.state_dict()
    put(path, {LAYER + name: np.ascontiguousarray(value.numpy()) for name, value in tone.items()})
    manifest = json.loads((options.out / "manifest.json").read_text())
    data = path.read_bytes()
    manifest["files"][path.name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (options.out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


if __name__ == "__main__":
    main()
