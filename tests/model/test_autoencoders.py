"""Every autoencoder in chunks is the same network over the whole clip, in torch and in ONNX."""

import onnxruntime
import pytest
import torch
from tiny_autoencoders import NAMES, TAEHV, WAN_CONFIGS, make, profile_of
from torch import nn

from realmaster_live.engines.export.graphs import Graph, example_graphs, to_onnx
from realmaster_live.errors import BuildError
from realmaster_live.model.autoencoders import taehv
from realmaster_live.model.autoencoders.interface import empty_memories, join, split
from realmaster_live.model.autoencoders.opening import autoencoder_of
from realmaster_live.model.autoencoders.render_head import RenderHead
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.vae import to_cells, to_pixels

ROWS, COLUMNS = 2, 3  # of latent positions
LATENTS = 6


def film_for(autoencoder, latents=LATENTS):  # (T, H, W, 3) uint8
    """Return frames for a number of latents."""
    each = autoencoder.latent_frames
    count = (latents - 1) * each + autoencoder.first_latent_frames
    side = autoencoder.latent_stride
    generator = torch.Generator().manual_seed(2)
    shape = (count, ROWS * side, COLUMNS * side, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def chunks_of(autoencoder, film, latents):
    """Split a film into chunks, each with copies of its first frame where it is short."""
    short = autoencoder.latent_frames - autoencoder.first_latent_frames
    whole = torch.cat((film[:1].repeat(short, 1, 1, 1), film))
    return whole.split(latents * autoencoder.latent_frames)


def encoded(autoencoder, film, latents):  # (B, F, C, h, w)
    """Return the latents of a film, encoded `latents` at a time."""
    memory, _ = empty_memories(autoencoder, 1, *film.shape[1:3])
    found = []
    for chunk in chunks_of(autoencoder, film, latents):
        latent, memory = autoencoder.encode(to_cells(chunk[None]), memory)
        found.append(split(latent))
    return torch.cat(found, 1)


def decoded(autoencoder, latents, film, each):  # (T, H, W, 3) in [-1, 1]
    """Return the pictures of latents, decoded `each` at a time, beside a film."""
    _, memory = empty_memories(autoencoder, 1, *film.shape[1:3])
    found = []
    pieces = zip(latents.split(each, 1), chunks_of(autoencoder, film, each), strict=True)
    for latent, chunk in pieces:
        cells, memory = autoencoder.decode(join(latent), to_cells(chunk[None]), memory)
        found.append(to_pixels(cells, len(cells))[0])
    return torch.cat(found)[autoencoder.latent_frames - autoencoder.first_latent_frames :]


def whole(layers, x):  # (T, C, H, W)
    """Run TAEHV's layers over all steps of a clip at once."""
    for layer in layers:
        if isinstance(layer, taehv.MemoryBlock | taehv.SuperMemoryBlock):
            x = layer(x, torch.cat((torch.zeros_like(x[:1]), x[:-1])))
        else:
            x = layer(x)
    return x


def tiny_encoding(autoencoder, film):
    """Return TAEHV's latents of a whole clip, whose last frame is repeated three times."""
    pictures = torch.cat((film, *[film[-1:]] * 3)).permute(0, 3, 1, 2) / 255.0
    if autoencoder.layout.patch > 1:
        pictures = nn.functional.pixel_unshuffle(pictures, 2)
    return whole(autoencoder.encoder, pictures)[None]


@pytest.mark.parametrize("each", [2, 3])
@pytest.mark.parametrize("name", NAMES)
def test_decoding_in_chunks_is_decoding_the_clip(name, each):
    autoencoder = make(name)
    film = film_for(autoencoder)
    latents = encoded(autoencoder, film, LATENTS)
    at_once = decoded(autoencoder, latents, film, LATENTS)
    assert at_once.shape == film.shape
    assert at_once.std() > 1e-3
    torch.testing.assert_close(decoded(autoencoder, latents, film, each), at_once)
    torch.testing.assert_close(decoded(autoencoder, latents, film, 1), at_once)


@pytest.mark.parametrize("each", [1, 2, 3])
@pytest.mark.parametrize("name", ["ours", *WAN_CONFIGS])
def test_encoding_in_chunks_is_encoding_the_clip(name, each):
    autoencoder = make(name)
    film = film_for(autoencoder)
    at_once = encoded(autoencoder, film, LATENTS)
    torch.testing.assert_close(encoded(autoencoder, film, each), at_once)


@pytest.mark.parametrize("each", [1, 2, 3])
@pytest.mark.parametrize("name", TAEHV)
def test_tiny_latents_are_those_of_the_clip_so_far(name, each):
    autoencoder = make(name)
    film = film_for(autoencoder)
    got = encoded(autoencoder, film, each)
    for end in range(each, LATENTS + 1, each):
        known = film[: 4 * end - 3]
        expected = tiny_encoding(autoencoder, known)[:, end - each : end]
        torch.testing.assert_close(got[:, end - each : end], expected)


@pytest.mark.parametrize("name", TAEHV)
def test_tiny_decoder_is_the_public_one(name):
    autoencoder = make(name)
    latents = torch.randn(1, 3, autoencoder.latent_channels, ROWS, COLUMNS)
    film = film_for(autoencoder, 3)
    pictures = whole(autoencoder.decoder, latents[0])
    if autoencoder.layout.patch > 1:
        pictures = nn.functional.pixel_shuffle(pictures, 2)
    expected = pictures.clamp(0, 1)[3:].permute(0, 2, 3, 1) * 2 - 1
    torch.testing.assert_close(decoded(autoencoder, latents, film, 3), expected)


def test_a_new_head_changes_nothing_and_a_trained_one_is_read_back(tmp_path):
    plain = make("taew2_1")
    guided = taehv.Taehv(plain.layout, RenderHead(16, 8)).eval()
    guided.load_state_dict(plain.state_dict(), strict=False)
    film = film_for(plain)
    latents = encoded(plain, film, LATENTS)
    with torch.no_grad():
        expected, got = (decoded(each, latents, film, 2) for each in (plain, guided))
        assert torch.equal(got, expected)
        for parameter in guided.head.parameters():
            parameter.add_(0.01)
        changed = decoded(guided, latents, film, 2)
        assert not torch.allclose(changed, expected, atol=1e-3)
        other = decoded(guided, latents, film.flip(0), 2)
        assert not torch.allclose(changed, other, atol=1e-3)  # it looks at the render
    tensors = guided.state_dict()
    read = autoencoder_of(profile_of("taew2_1"), tensors, tmp_path)
    read.load_state_dict(tensors)
    assert read.guided and not plain.guided


@pytest.mark.parametrize("name", WAN_CONFIGS)
def test_wan_is_diffusers(name):
    import diffusers

    autoencoder = make(name)
    theirs = diffusers.AutoencoderKLWan(**WAN_CONFIGS[name]).eval()
    theirs.load_state_dict(autoencoder.state_dict())
    film = film_for(autoencoder, 4)
    with torch.no_grad():
        raw = theirs.encode(film.permute(3, 0, 1, 2)[None] / 127.5 - 1).latent_dist.mode()
        pictures = theirs.decode(raw).sample
    mean, std = autoencoder.latents_mean, autoencoder.latents_std
    latents = ((raw - mean) / std).transpose(1, 2)
    got = encoded(autoencoder, film, 2)
    torch.testing.assert_close(got, latents, rtol=1e-4, atol=1e-4)
    expected = pictures[0].permute(1, 2, 3, 0)
    got = decoded(autoencoder, latents, film, 2)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", TAEHV)
def test_layout_is_read_off_the_tensors(name):
    network = make(name)
    tensors = network.state_dict()
    assert taehv.layout_of(tensors, source="the test") == TAEHV[name]
    grow = "decoder.14.conv.weight" if "super" in name else "decoder.13.conv.weight"
    longer = torch.cat((torch.full_like(tensors[grow], 9.0), tensors[grow]))
    kept = taehv.newest_steps(network, {**tensors, grow: longer})
    torch.testing.assert_close(kept[grow], tensors[grow])


@pytest.mark.parametrize(
    ("name", "other", "said"),
    [
        ("taew2_1", "taew2_2", "16 channels .* got 48 .* Wan2.1 and Wan2.2-A14B"),
        ("taew2_2", "taew2_1", "48 channels .* got 16 .* Wan2.2-TI2V-5B"),
    ],
)
def test_a_file_for_the_other_wan_is_refused(tmp_path, name, other, said):
    with pytest.raises(BuildError, match=said):
        autoencoder_of(profile_of(name), make(other).state_dict(), tmp_path)


def test_other_tensors_are_refused(tmp_path):
    tensors = {"decoder.weight": torch.zeros(1)}
    with pytest.raises(BuildError, match=r"tiny autoencoder.*without 'encoder.17.weight'"):
        autoencoder_of(profile_of("taew2_1"), tensors, tmp_path)


@pytest.mark.slow  # torch's exporter traces hundreds of operations with open sizes
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["ours", "headed", "taew2_2_super", "wan2.1", "wan2.2"])
def test_graphs_in_onnx_runtime(name):
    autoencoder, profile = make(name), profile_of(name)
    side = 2 * autoencoder.latent_stride
    graphs = example_graphs(
        autoencoder, InContextTransformer(profile), 2 * side, 3 * side, prompt_tokens=2
    )
    for graph in (each for each in graphs if each.name in ("encode", "decode")):
        model = to_onnx(graph)
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        check(graph, session)
        check(larger(graph), session)


def check(graph: Graph, session: onnxruntime.InferenceSession):
    inputs = {name: value.numpy() for name, value in graph.inputs.items()}
    expected = graph.module(**graph.inputs)
    for name, want, got in zip(graph.outputs, expected, session.run(None, inputs), strict=True):
        tolerance = 1.0 if name == "frames" else 1e-3
        torch.testing.assert_close(
            torch.from_numpy(got).float(), want.float(), rtol=1e-3, atol=tolerance
        )


def larger(graph: Graph) -> Graph:
    """Return the graph with an example of another picture size."""
    inputs = {
        name: torch.cat((x, x), 1 if name == "frames" else x.ndim - 2)
        for name, x in graph.inputs.items()
    }
    return Graph(
        name=graph.name, module=graph.module, inputs=inputs, dynamic_axes={}, outputs=graph.outputs
    )
