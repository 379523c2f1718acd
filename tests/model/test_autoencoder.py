import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from realmaster_live.model.checkpoint import load_checkpoint, save_checkpoint
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import TINY
from realmaster_live.model.vae import (
    Fold,
    StreamingAutoencoder,
    to_bytes,
    to_cells,
    to_pixels,
)

HEIGHT, WIDTH = 64, 96


def make_autoencoder(seed: int = 0) -> StreamingAutoencoder:
    torch.manual_seed(seed)
    model = StreamingAutoencoder(TINY).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if not parameter.any():
                parameter.copy_(0.1 * torch.randn(parameter.shape))
        model.latents_mean.normal_(std=0.1)
        model.latents_std.uniform_(0.5, 2.0)
    return model


def frames(count: int = 4, batch: int = 1, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, count, HEIGHT, WIDTH, 3)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


@torch.no_grad()
def stream(model, clip):
    encoder_memory = decoder_memory = model.empty_memory(1, HEIGHT, WIDTH)
    out = []
    for chunk in clip.split(4, 1):
        cells = to_cells(chunk)
        latent, encoder_memory = model.encode(cells, encoder_memory)
        decoded, decoder_memory = model.decode(latent, cells, decoder_memory)
        out.append(to_bytes(decoded, 4))
    return torch.cat(out, 1)


def test_folding_is_exact():
    clip = frames(8, batch=2)
    cells = to_cells(clip)
    assert cells.shape == (16, 12, HEIGHT // 2, WIDTH // 2)
    assert torch.equal(to_bytes(cells, 8), clip)
    assert to_pixels(cells, 8)[1, 3, 10, 20, 2] == pytest.approx(
        clip[1, 3, 10, 20, 2].item() / 127.5 - 1.0, abs=1e-6
    )


def test_shapes():
    model = make_autoencoder()
    cells = to_cells(frames())
    latent, memory = model.encode(cells, model.empty_memory(1, HEIGHT, WIDTH))
    assert latent.shape == (1, TINY.latent_channels, HEIGHT // 16, WIDTH // 16)
    assert memory.shape == (1, TINY.memory, HEIGHT // 8, WIDTH // 8)
    decoded, memory = model.decode(latent, cells, memory)
    assert decoded.shape == cells.shape
    assert memory.shape == (1, TINY.memory, HEIGHT // 8, WIDTH // 8)


def test_streaming_is_deterministic_and_carries_memory():
    model = make_autoencoder()
    clip = frames(12)
    streamed = stream(model, clip)
    assert torch.equal(streamed, stream(model, clip))
    alone = stream(model, clip[:, 8:])
    assert not torch.equal(streamed[:, 8:], alone)


def test_memory_reaches_back_one_chunk_in_each_half():
    """Two chunks back nothing is left but what the latents' own memory carried one chunk on."""
    model = make_autoencoder()
    clip = frames(16)
    changed = clip.clone()
    changed[:, :4] = 255 - changed[:, :4]
    one, other = stream(model, clip), stream(model, changed)
    assert not torch.equal(one[:, 4:8], other[:, 4:8])
    assert torch.equal(one[:, 12:], other[:, 12:])


def test_batched_chunks_equal_single_ones():
    model = make_autoencoder()
    clip = frames(4, batch=2)
    with torch.no_grad():
        both, _ = model.encode(to_cells(clip), model.empty_memory(2, HEIGHT, WIDTH))
        second, _ = model.encode(to_cells(clip[1:]), model.empty_memory(1, HEIGHT, WIDTH))
    torch.testing.assert_close(both[1:], second, atol=1e-5, rtol=1e-5)


def test_new_decoder_answers_with_the_render():
    torch.manual_seed(0)
    model = StreamingAutoencoder(TINY)
    cells = to_cells(frames())
    memory = model.empty_memory(1, HEIGHT, WIDTH)
    decoded, _ = model.decode(torch.randn(1, TINY.latent_channels, 4, 6), cells, memory)
    assert torch.equal(decoded, cells)


def test_latents_are_normalised():
    model = make_autoencoder()
    cells, memory = to_cells(frames()), model.empty_memory(1, HEIGHT, WIDTH)
    with torch.no_grad():
        raw, _ = model.encoder(cells, memory)
        latent, _ = model.encode(cells, memory)
    back = latent * model.latents_std[:, None, None] + model.latents_mean[:, None, None]
    torch.testing.assert_close(back, raw)


@pytest.mark.parametrize(("factor", "reach"), [(2, 1), (4, 1), (2, 3)])
def test_folding_in_the_graph_is_the_same(monkeypatch, factor, reach):
    torch.manual_seed(0)
    layer = Fold(5, 7, factor, reach)
    x = torch.randn(2, 5, 8, 12)
    folded = layer(x)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    torch.testing.assert_close(layer(x), folded)


def test_tones_are_smooth_and_shared_by_the_frames_of_a_chunk():
    model = make_autoencoder()
    latent = torch.randn(2, TINY.latent_channels, 4, 6)
    gain, offset = model.decoder.tones(latent)
    assert gain.shape == offset.shape == (8, 12, HEIGHT // 2, WIDTH // 2)
    pixels = to_pixels(offset, 4)
    assert torch.equal(pixels[:, 0], pixels[:, 3])
    assert torch.equal(pixels[0, 0, 0, 0], pixels[0, 0, 1, 1])  # a cell's pixels share one tone
    expected = model.decoder.tone(latent)[1, 3:, 0, 0]  # the corner is not mixed with others
    torch.testing.assert_close(pixels[1, 0, 0, 0], expected)


def test_weights_of_unfolding_layers_are_averaged_and_rule_nothing(tmp_path):
    """A plain latent and a plain render make a plain picture, in any phase of any block."""
    torch.manual_seed(0)
    autoencoder, transformer = StreamingAutoencoder(TINY), InContextTransformer(TINY)
    nn.init.normal_(autoencoder.decoder.write.weight, std=0.05)
    save_checkpoint(tmp_path, autoencoder, transformer)
    path = tmp_path / "autoencoder.safetensors"
    former = load_file(path)
    for name in ("decoder.up", "decoder.spread"):
        for kind in ("weight", "bias"):
            one = former[f"{name}.{kind}"]
            if name == "decoder.spread":  # once for each frame of a chunk
                change = 0.1 * torch.randn_like(one)
                one = torch.cat([one + change, one - change, one, one])
            spread = 0.1 * torch.randn(len(one), 4, *one.shape[1:])
            spread -= spread.mean(1, keepdim=True)
            former[f"{name}.{kind}"] = (one[:, None] + spread).flatten(0, 1).contiguous()
    save_file(former, path)
    loaded, _ = load_checkpoint(tmp_path)
    for name, tensor in autoencoder.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=1e-4, atol=1e-5)
    latent = torch.randn(1, TINY.latent_channels, 1, 1).expand(1, -1, 12, 12)
    cells = torch.full((TINY.chunk_frames, 12, 96, 96), 0.25)
    memory = torch.zeros(1, TINY.memory, 24, 24)
    with torch.no_grad():
        plain, _ = loaded.decode(latent, cells, memory)
    middle = plain[:, :, 40:56, 40:56]  # far from the borders
    assert float((middle - middle[..., :1, :1]).abs().max()) < 1e-4


def test_residual_and_gain_of_two_layers_become_one(tmp_path):
    torch.manual_seed(0)
    autoencoder, transformer = StreamingAutoencoder(TINY), InContextTransformer(TINY)
    write = autoencoder.decoder.write
    nn.init.normal_(write.weight, std=0.05)
    nn.init.normal_(write.bias, std=0.05)
    gain = torch.randn(12, TINY.half, 1, 1)
    with torch.no_grad():  # what a layer of 1 x 1 weights could do
        write.weight[12:] = nn.functional.pad(gain, (1, 1, 1, 1))
    save_checkpoint(tmp_path, autoencoder, transformer)
    path = tmp_path / "autoencoder.safetensors"
    former = load_file(path)
    rest, bias = former.pop("decoder.write.weight"), former.pop("decoder.write.bias")
    former["decoder.rest.weight"], former["decoder.gain.weight"] = rest[:12].clone(), gain
    former["decoder.rest.bias"], former["decoder.gain.bias"] = bias[:12].clone(), bias[12:] - 1.0
    save_file(former, path)
    loaded, _ = load_checkpoint(tmp_path)
    for name, tensor in autoencoder.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[name], tensor, msg=name)
