"""Depth, normals and classes as the decoder gets them, and a decoder that they guide."""

import numpy as np
import pytest
import torch

from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.frames.geometry import pinhole
from realmaster_live.model.geometry_guide import CHANNELS, DEPTHS, GROUPS, geometry_of
from realmaster_live.model.profile import TINY
from realmaster_live.model.vae import StreamingAutoencoder

HEIGHT, WIDTH = 64, 96
CAMERA = pinhole(WIDTH, HEIGHT, 90.0)
SHAPE = (2, HEIGHT, WIDTH)


def plane(normal: tuple[float, float, float], offset: float) -> np.ndarray:
    """The depth of the plane whose points have n . X = offset."""
    columns, rows = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    rays = np.stack((columns, rows, np.ones_like(rows)), -1) @ np.linalg.inv(CAMERA).T
    depth = offset / (rays @ np.array(normal))
    return np.broadcast_to(depth.astype(np.float32), SHAPE)


def normals(found: np.ndarray) -> np.ndarray:  # (T, 3, h, w)
    return (found[:, 2:5].astype(np.float32) - 128) / 127


@pytest.mark.parametrize(
    ("normal", "offset"), [((0, 0, -1), -8.0), ((0.6, 0, -0.8), -5.0), ((-0.36, 0.48, -0.8), -9.0)]
)
def test_a_plane_has_its_own_normal_everywhere(normal, offset):
    depth = plane(normal, offset)
    found = geometry_of({"depth": depth}, CAMERA, SHAPE)
    assert np.abs(normals(found) - np.array(normal)[:, None, None]).max() < 0.02
    nearness = 255 / (1 + depth[:, ::2, ::2] / 10)
    assert np.abs(found[:, 1] - nearness).max() <= 1
    assert (found[:, 0] == 255).all()
    assert not found[:, len(DEPTHS) :].any()


def test_an_edge_keeps_both_normals_up_to_its_last_cell():
    near, far = plane((0, 0, -1), -4.0), plane((0.6, 0, -0.8), -20.0)
    depth = np.where(np.arange(WIDTH) < 48, near, far)
    found = normals(geometry_of({"depth": depth}, CAMERA, SHAPE))
    assert np.abs(found[..., 23] - np.array((0, 0, -1))[:, None]).max() < 0.02
    assert np.abs(found[..., 24] - np.array((0.6, 0, -0.8))[:, None]).max() < 0.02


def test_depths_that_are_none_are_unknown():
    depth = np.full(SHAPE, 5.0, np.float32)
    bad = {(0, 0): np.nan, (10, 20): 0.0, (20, 40): -3.0, (30, 60): -np.inf}
    for (row, column), value in bad.items():
        depth[:, row, column] = value
    found = geometry_of({"depth": depth}, CAMERA, SHAPE)
    unknown = {(row // 2, column // 2) for row, column in bad}
    assert {tuple(place) for place in np.argwhere(found[0, 0] == 0)} == unknown
    for row, column in unknown:
        assert not found[:, :, row, column].any()


def test_every_class_has_one_group():
    semantic = np.broadcast_to((np.arange(HEIGHT) // 2)[:, None], SHAPE).astype(np.uint8)
    found = geometry_of({"semantic": semantic}, CAMERA, SHAPE)[:, len(DEPTHS) :]
    assert (np.sort(found, 1)[:, -1] == 255).all()
    assert (found.astype(int).sum(1) == 255).all()
    names = list(GROUPS)
    for name, group in (("road_line", "marking"), ("bus", "vehicle"), ("water", "other")):
        assert (found[:, names.index(group), CLASS_IDS[name]] == 255).all()


def test_classes_of_other_types_and_numbers_are_taken():
    semantic = np.zeros(SHAPE, np.int32)
    semantic[:, :, 10], semantic[:, :, 20], semantic[:, :, 30] = CLASS_IDS["road"], 255, -1
    found = geometry_of({"semantic": semantic}, CAMERA, SHAPE)[:, len(DEPTHS) :]
    names = list(GROUPS)
    assert (found[:, names.index("road"), :, 5] == 255).all()
    assert (found[:, names.index("other"), :, [10, 15]] == 255).all()


@pytest.fixture
def decoder():
    torch.manual_seed(0)
    network = StreamingAutoencoder(TINY).eval()
    with torch.no_grad():
        for layer in (network.decoder.write, network.decoder.tone):
            layer.weight.normal_(std=0.05)
    return network


@torch.no_grad()
def decode(network, geometry):
    generator = torch.Generator().manual_seed(1)
    latent = torch.randn(TINY.latent_shape(HEIGHT, WIDTH), generator=generator)
    cells = torch.randn(4, 12, HEIGHT // 2, WIDTH // 2, generator=generator)
    memory = network.empty_memory(1, HEIGHT, WIDTH)
    return network.decode(latent, cells, memory, None, geometry)[0]


def test_geometry_guides_and_none_is_the_same_as_unknown(decoder):
    unknown = torch.zeros(4, CHANNELS, HEIGHT // 2, WIDTH // 2, dtype=torch.uint8)
    known = torch.randint(0, 256, unknown.shape, dtype=torch.uint8)
    before = decode(decoder, None)
    assert torch.equal(decode(decoder, known), before)  # new layers are zero
    torch.nn.init.normal_(decoder.decoder.fine_geometry.weight, std=0.1)
    torch.nn.init.normal_(decoder.decoder.half_geometry.weight, std=0.1)
    assert torch.equal(decode(decoder, None), before)
    assert torch.equal(decode(decoder, unknown), before)
    assert (decode(decoder, known) - before).abs().max() > 0.01
