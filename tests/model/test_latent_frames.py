"""Chunks of several latent frames, of both latent strides: streamed equals whole."""

from dataclasses import replace

import pytest
import torch

from realmaster_live.model.cache import RingCache
from realmaster_live.model.in_context import rotate
from realmaster_live.model.profile import TINY
from realmaster_live.model.random_weights import random_networks
from realmaster_live.model.rope import rope_tables
from realmaster_live.model.vae import to_cells

CHUNKS, FRAMES, ROWS, COLUMNS = 4, 3, 2, 2
WAN = replace(
    TINY, chunk_frames=12, chunk_latents=FRAMES, latent_stride=8, aligned=False,
    prediction="velocity", ring=2, sink=1,
)  # fmt: skip


def networks(profile):
    return random_networks(profile, torch.device("cpu"))


def rope_of(times, profile=WAN):
    cos, sin = rope_tables(
        times, ROWS, COLUMNS, widths=profile.rope_widths, theta=profile.rope_theta, frames=FRAMES
    )
    return torch.from_numpy(cos), torch.from_numpy(sin)


def latents(seed):
    shape = (1, WAN.latent_channels, FRAMES, ROWS * WAN.patch, COLUMNS * WAN.patch)
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for _ in range(CHUNKS)]


def test_positions_count_latent_frames():
    both, later = rope_of([-1.0, 0.0])[0], rope_of([0.0])[0]
    assert both.shape[0] == 2 * FRAMES * ROWS * COLUMNS
    torch.testing.assert_close(both[len(later) :], later)
    one = rope_tables([-3.0, -2.0, -1.0], ROWS, COLUMNS, widths=WAN.rope_widths, theta=10_000.0)[0]
    torch.testing.assert_close(both[: len(later)], torch.from_numpy(one))


@torch.no_grad()
def test_a_chunked_rollout_equals_a_whole_clip_under_the_block_mask():
    """Targets of all chunks in one forward, where a mask says who sees whom.

    Teacher forcing: all targets are clean, so the whole clip is one pass at t = 0, in which every
    layer has the tokens of all chunks. A chunk's queries stand at time 0 and see the others' keys
    at their distance: the sink's is that of a full ring from the first.
    """
    _, model = networks(WAN)
    clean, references = latents(1), latents(2)
    zero, here = torch.zeros(1), rope_of([0.0])
    prompt = model.prompt(model.prompt_embedding[:1])

    cache, got = RingCache(WAN), []
    for index in range(3):  # sink and ring are full after three: until then nothing is forgotten
        context = model.context(references[index], here, prompt)
        past = cache.past(context)
        times = cache.times()
        x0, kept = model.denoise(
            clean[index], zero, references[index], context, past, here,
            rope_of(times) if times else (here[0][:0], here[1][:0]), prompt,
        )  # fmt: skip
        got.append(x0)
        cache.push(kept)
    distance = {0: {0: 0}, 1: {0: 3, 1: 0}, 2: {0: 3, 1: 1, 2: 0}}

    tokens = FRAMES * ROWS * COLUMNS
    embedding, modulation = model.condition_embedder(zero)
    known = [model.embed_reference(x) for x in references[:3]]
    x = torch.cat([model.embed_target(a, b) for a, b in zip(clean, references, strict=True)][:3], 1)
    for layer, block in enumerate(model.blocks):
        shift1, scale1, gate1, shift2, scale2, gate2 = (
            block.scale_shift_table + modulation
        ).unbind(-2)
        pair = prompt[layer, 0], prompt[layer, 1]
        for index, reference in enumerate(known):
            after, (key, value) = block(reference, modulation, here, (), pair)
            known[index] = after, rotate(key, here), value
        y = block.norm1(x) * (1 + scale1) + shift1
        key, value = block.attn1.key_value(y)
        query = block.attn1.query(y)
        seen = []
        for index in range(3):
            mine = slice(index * tokens, (index + 1) * tokens)
            keys = torch.cat([key, *(k for _, k, _ in known)], 2)
            values = torch.cat([value, *(v for _, _, v in known)], 2)
            mask = torch.zeros(tokens, 6 * tokens, dtype=torch.bool)
            for earlier, age in distance[index].items():
                place = slice(earlier * tokens, (earlier + 1) * tokens)
                keys[:, :, place] = rotate(key[:, :, place], rope_of([-float(age)]))
                mask[:, place] = True
            mask[:, (3 + index) * tokens : (4 + index) * tokens] = True
            turned = rotate(query[:, :, mine], here)
            seen.append(
                torch.nn.functional.scaled_dot_product_attention(turned, keys, values, mask)
            )
        x = x + gate1 * block.attn1.out(torch.cat(seen, 2))
        asked = block.attn2.query(block.norm2(x))
        x = x + block.attn2.out(torch.nn.functional.scaled_dot_product_attention(asked, *pair))
        x = x + gate2 * block.ffn(block.norm3(x) * (1 + scale2) + shift2)
        known = [reference for reference, _, _ in known]
    for index, rolled in enumerate(got):
        mine = x[:, index * tokens : (index + 1) * tokens]
        expected = model.predict(mine, embedding, clean[index], zero, references[index])
        torch.testing.assert_close(rolled, expected, atol=1e-5, rtol=1e-5)
        assert cache.times() == [-3.0, -2.0, -1.0]


def whole_clip(profile, clip):
    """Encode and decode a clip as one chunk of so many latent frames."""
    frames = clip.shape[1]
    steps = frames * profile.chunk_latents // profile.chunk_frames
    long = replace(profile, chunk_frames=frames, chunk_latents=steps)
    autoencoder, _ = networks(profile)
    other, _ = networks(long)
    other.load_state_dict(autoencoder.state_dict())
    memory = other.empty_memory(1, *clip.shape[2:4])
    cells = to_cells(clip)
    latent, _ = other.encode(cells, memory)
    return latent, other.decode(latent, cells, memory)[0]


@torch.no_grad()
@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("latents", [1, 3])
def test_a_streamed_clip_equals_the_whole_clip(stride, latents):
    profile = replace(TINY, chunk_frames=4 * latents, chunk_latents=latents, latent_stride=stride)
    autoencoder, _ = networks(profile)
    generator = torch.Generator().manual_seed(0)
    clip = torch.randint(0, 256, (1, 24, 64, 96, 3), generator=generator, dtype=torch.uint8)
    encoding = decoding = autoencoder.empty_memory(1, 64, 96)
    parts, pictures = [], []
    for chunk in clip.split(profile.chunk_frames, 1):
        cells = to_cells(chunk)
        latent, encoding = autoencoder.encode(cells, encoding)
        assert latent.shape[-2:] == (64 // stride, 96 // stride)
        decoded, decoding = autoencoder.decode(latent, cells, decoding)
        parts.append(latent if latent.ndim == 5 else latent[:, :, None])
        pictures.append(decoded)
    latent, decoded = whole_clip(profile, clip)
    torch.testing.assert_close(torch.cat(parts, 2), latent, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.cat(pictures), decoded, atol=1e-5, rtol=1e-5)
