import dataclasses

import numpy as np
import pytest
import torch
from latent_clips import LatentClips, make_clips, write_base
from street import make_chunk

from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.model.lora import attach
from realmaster_live.model.lora_facts import LoraFacts
from realmaster_live.model.lora_files import save
from realmaster_live.model.profile import TINY
from realmaster_live.model.random_weights import random_networks
from realmaster_live.model.vae import to_cells
from realmaster_live.training.iclora.base import BaseConfig, load_base
from realmaster_live.training.iclora.pictures import (
    false_colours,
    grid,
    painter_of,
    wan_painter,
)
from realmaster_live.training.iclora.samples import batch_of, open_clips, realize
from realmaster_live.training.previews import decode_clip

HEIGHT, WIDTH, CHUNKS = 64, 96, 4


@pytest.fixture(scope="module", params=[1, 2], ids=["one latent", "two latents"])
def adapted(request, tmp_path_factory):
    """A checkpoint, an adapter with a say, and the file that the engine reads it from."""
    folder = tmp_path_factory.mktemp("model")
    several = {"chunk_latents": request.param, "chunk_frames": 4 * request.param}
    profile = dataclasses.replace(TINY, falling=False, **several)
    base = load_base(BaseConfig(checkpoint=str(write_base(folder, profile))))
    adapter = attach(base.transformer, rank=4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for low_rank in adapter.low_ranks.values():
            low_rank.up.normal_(std=0.1, generator=torch.Generator().manual_seed(1))
    file = folder / "adapter.safetensors"
    save(file, adapter, scheme="diffusers", facts=LoraFacts(base_model="tiny", licence="MIT"))
    return base, file


@torch.no_grad()
def encode(base, frames):
    """Return the latents (C, F, h, w) of frames (T, H, W, 3), chunk by chunk."""
    memory, latents = base.autoencoder.empty_memory(1, HEIGHT, WIDTH), []
    for chunk in np.split(frames, CHUNKS):
        latent, memory = base.autoencoder.encode(to_cells(torch.from_numpy(chunk)[None]), memory)
        latents.append(latent[0] if latent.ndim == 5 else latent[0, :, None])
    return torch.cat(latents, 1)


def test_a_look_is_what_the_live_engine_makes(adapted):
    """Encode, roll out, decode: the frames of TorchEngine with the adapter merged."""
    base, file = adapted
    profile, rng = base.profile, np.random.default_rng(0)
    frames = rng.integers(0, 256, (CHUNKS * profile.chunk_frames, HEIGHT, WIDTH, 3), np.uint8)
    latents = encode(base, frames)
    clip = LatentClips([dataclasses.replace(make_clips(1, seed=0).read(0), prompt="rain",
                                            reference=latents, target=latents)])  # fmt: skip
    batch = batch_of(clip.read(0), profile, chunks=CHUNKS)
    made = realize(base.transformer, batch, steps=2, seed=7)[:, 0]
    got = decode_clip(base.autoencoder, made, frames)
    size = {"width": WIDTH, "height": HEIGHT}
    with TorchEngine(base.folder, steps=2, seed=7, adapter=file, prompt="rain", **size) as engine:
        expected = np.concatenate([
            engine.realize(
                make_chunk(index, frames=len(part), labels=(), size=(WIDTH, HEIGHT))
                .with_frames(part)
            ).frames
            for index, part in enumerate(np.split(frames, CHUNKS))
        ])  # fmt: skip
    difference = np.abs(got.astype(int) - expected.astype(int))
    assert difference.max() <= 1
    assert np.abs(expected.astype(int) - frames.astype(int)).mean() > 1  # it does something
    base.transformer.blocks[0].attn1.to_v.low_rank.up.data.mul_(-1)
    other = realize(base.transformer, batch, steps=2, seed=7)[:, 0]
    assert not torch.allclose(other, made, atol=1e-3)  # and so does the adapter


def test_clips_that_are_long_enough_are_opened_in_order():
    clips = make_clips(4, seed=0, frames=5)
    short = LatentClips([make_clips(1, seed=1, frames=0).read(0), *clips.clips])
    opened = open_clips(short, TINY, clips=3, chunks=2)
    assert [clip.name for clip in opened] == ["001", "002", "003"]
    batch = opened[0].batch
    assert batch.reference.shape == (2, 1, 8, 4, 6)
    assert torch.equal(batch.target[1, 0], clips.clips[0].target[:, 1])


def test_pictures_of_latents(adapted):
    base, _ = adapted
    latents = torch.zeros(3, 8, *([2] if base.profile.chunk_latents == 2 else []), 4, 6)
    assert painter_of(base)(latents).shape == (3 * base.profile.chunk_frames, 64, 96, 3)
    colours = false_colours(latents + 1.0, stride=8)
    assert colours.shape == (3 * base.profile.chunk_latents, 32, 48, 3)
    assert (colours == 192).all()


def test_a_grid_has_the_last_frame_of_every_part():
    strip = np.arange(6, dtype=np.uint8)[:, None, None, None].repeat(3, 3)
    assert grid([strip, strip + 10], 3)[:, :, 0].tolist() == [[1, 3, 5], [11, 13, 15]]


def test_wan_latents_are_decoded_by_the_autoencoder_beside_the_transformer(tmp_path):
    from diffusers import AutoencoderKLWan

    torch.manual_seed(0)
    vae = AutoencoderKLWan(base_dim=8, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1,
                           attn_scales=[], temperal_downsample=[False, True, True])  # fmt: skip
    vae.save_pretrained(tmp_path / "vae")
    latents = torch.randn(2, 16, 3, 4, 6)
    frames = wan_painter(tmp_path / "vae")(latents)
    assert frames.shape == (1 + 4 * 5, 32, 48, 3)  # the first latent is one frame
    mean, std = (torch.tensor(x).view(1, -1, 1, 1, 1)
                 for x in (vae.config.latents_mean, vae.config.latents_std))  # fmt: skip
    whole = torch.cat([*latents], 1)[None]
    with torch.no_grad():
        expected = vae.decode(whole * std + mean).sample[0, :, -1]
    got = torch.from_numpy(frames[-1]).movedim(-1, 0) / 127.5 - 1
    torch.testing.assert_close(got, expected.clamp(-1, 1), atol=0.005, rtol=0)


def test_guidance_of_one_is_none_and_more_leads_on_from_the_empty_prompt():
    """With one step and one chunk: x0 without the prompt, plus g times the difference."""
    profile = dataclasses.replace(TINY, falling=False)
    model = random_networks(profile, torch.device("cpu"))[1]
    clip = dataclasses.replace(make_clips(1, seed=0).read(0), prompt="rain")
    batch = batch_of(clip, profile, chunks=1)
    empty = batch_of(dataclasses.replace(clip, prompt=profile.prompts[0]), profile, chunks=1)
    asked, plain = (realize(model, each, steps=1, seed=3) for each in (batch, empty))
    assert not torch.equal(asked, plain)
    led = realize(model, batch, steps=1, seed=3, guidance=3.0)
    torch.testing.assert_close(led, plain + 3.0 * (asked - plain), rtol=1e-4, atol=1e-5)
