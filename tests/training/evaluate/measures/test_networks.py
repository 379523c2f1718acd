"""Networks that the user brings, as tiny graphs with known answers."""

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from realmaster_live.errors import ConfigError
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.system.contents import sha256_of
from realmaster_live.training.evaluate.drives.films import RENDER
from realmaster_live.training.evaluate.measures.clip_embeddings import load_clip, squared
from realmaster_live.training.evaluate.measures.detected import (
    DetectedMeasure,
    Detector,
    overlaps,
)
from realmaster_live.training.evaluate.measures.features import load_features
from realmaster_live.training.evaluate.measures.identity import IDENTITY, IdentityMeasure, crops
from realmaster_live.training.evaluate.measures.model_files import ModelFile, OnnxModel


def write_graph(path, nodes, outputs, constants=(), side=None):
    """A graph of `image` (1, 3, H, W)."""
    shape = [1, 3, side or "H", side or "W"]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
        [
            numpy_helper.from_array(np.asarray(value), name)
            for name, value in dict(constants).items()
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


@pytest.fixture
def means(tmp_path):
    """A network whose two levels are the pictures' mean colours, and twice as much."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
        helper.make_node("Add", ["mean", "mean"], ["twice"]),
    ]
    kinds = dict.fromkeys(("mean", "twice"), TensorProto.FLOAT)
    return write_graph(tmp_path / "means.onnx", nodes, kinds)


def test_features_of_a_file_are_its_outputs_pooled(means):
    of, name = load_features(str(means))
    picture = np.full((1, 40, 60, 3), (255, 0, 128), np.uint8)
    one, two = of(picture)
    mean, std = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))
    np.testing.assert_allclose(one[0], (np.array((1, 0, 128 / 255)) - mean) / std, rtol=1e-4)
    np.testing.assert_allclose(two, 2 * one, rtol=1e-5)
    assert name == f"means.onnx, SHA-256 {sha256_of(means, error=ConfigError)[:16]}"


def test_a_file_is_refused_where_its_hash_is_another(means, tmp_path):
    digest = sha256_of(means, error=ConfigError)
    assert ModelFile.of(f"{means}@sha256={digest[:12].upper()}", "--x").sha256 == digest
    with pytest.raises(ConfigError, match=f"expected .* with the SHA-256 0123456789, got {digest}"):
        ModelFile.of(f"{means}@sha256=0123456789", "--x")
    with pytest.raises(ConfigError, match="expected a file for --x, got"):
        ModelFile.of(str(tmp_path / "none.onnx"), "--x")
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ConfigError, match="expected a network in"):
        OnnxModel(ModelFile.of(str(tmp_path / "text.onnx"), "--x"))


def test_clip_of_a_folder_and_of_a_graph_give_unit_vectors(means, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        image_size=32, patch_size=16, projection_dim=8,
    )  # fmt: skip
    torch.manual_seed(0)
    network = transformers.CLIPVisionModelWithProjection(config).eval()
    network.save_pretrained(tmp_path / "clip")
    picture = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
    embed, name = load_clip(str(tmp_path / "clip"))
    found = embed(picture)
    pixels = torch.from_numpy(squared(picture, 32)).permute(2, 0, 1)[None].float() / 255
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073])[:, None, None]
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711])[:, None, None]
    with torch.no_grad():
        wanted = network(pixel_values=(pixels - mean) / std).image_embeds
    wanted = wanted / wanted.norm(dim=1, keepdim=True)
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)
    assert name.startswith("clip, SHA-256 ")
    embed, _ = load_clip(str(means))
    assert np.linalg.norm(embed(picture)) == pytest.approx(1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="expected a CLIP network of transformers in"):
        load_clip(str(tmp_path / "empty"))


def street(lefts=(16, 64)):
    image = np.random.default_rng(1).integers(0, 256, (64, 128, 3), np.uint8)
    semantic = np.full((64, 128), CLASS_IDS["road"], np.uint8)
    instance = np.zeros((64, 128), np.int32)
    for number, left in enumerate(lefts, 1):
        span = np.s_[8:48, left : left + 32]
        semantic[span] = CLASS_IDS["car"]
        instance[span] = CLASS_IDS["car"] << 16 | number
    return SimpleNamespace(image=image, labels={"semantic": semantic, "instance": instance})


def write_detector(path, rows, **options):
    """A detector that always finds the same (left, top, right, bottom, score, class)."""
    nodes = [helper.make_node("Identity", ["rows"], ["output0"])]
    rows = np.array([rows], np.float32).reshape(1, -1, 6)
    return write_graph(path, nodes, {"output0": TensorProto.FLOAT}, {"rows": rows}, **options)


def test_boxes_that_are_found_vanished_and_invented(tmp_path):
    both = [(16, 8, 48, 48, 0.9, 2), (66, 8, 98, 48, 0.8, 7)]  # a car, and a truck for the other
    more = [(0, 50, 20, 64, 0.9, 0), (0, 0, 9, 9, 0.1, 0), (0, 0, 9, 9, 0.9, 40)]
    sees, misses = (
        DetectedMeasure(detector=Detector(OnnxModel(ModelFile.of(str(path), "--x"))))
        for path in (
            write_detector(tmp_path / "a.onnx", both),
            write_detector(tmp_path / "b.onnx", both[1:] + more),
        )
    )
    sample = street()
    row = sees(RENDER, sample.image, sample)
    assert (row["boxes found"], row["boxes wanted"], row["boxes invented"]) == (2, 2, 0)
    misses._render = sees._render
    row = misses("film", sample.image, sample)
    assert (row["boxes found"], row["boxes lost"], row["boxes of the render"]) == (1, 1, 2)
    assert row["boxes invented"] == 1, "a person; what is unsure or no vehicle does not count"


def test_detections_in_a_scaled_picture_are_in_its_own_pixels(tmp_path):
    path = write_detector(tmp_path / "a.onnx", [(8, 4, 24, 24, 0.9, 2)], side=64)
    found = Detector(OnnxModel(ModelFile.of(str(path), "--x")))(street().image)
    np.testing.assert_allclose(found.corners, [(16, 8, 48, 48)])
    assert overlaps(found.corners, np.array([[16, 8, 48, 28]]))[0, 0] == pytest.approx(0.5)
    bad = write_graph(
        tmp_path / "bad.onnx", [helper.make_node("Identity", ["image"], ["x"])],
        {"x": TensorProto.FLOAT},
    )  # fmt: skip
    with pytest.raises(ConfigError, match=r"expected detections \(1, N, 6\)"):
        Detector(OnnxModel(ModelFile.of(str(bad), "--x")))(street().image)


def test_things_are_compared_where_there_is_no_detector_of_faces():
    sample = street()
    assert [crop.shape for crop in crops(sample.image, sample)] == [(112, 112, 3)] * 2

    def recognise(crop):
        flat = crop[::16, ::16].ravel().astype(np.float32) - 127
        return flat / np.linalg.norm(flat)

    measure = IdentityMeasure(recognise=recognise)
    changed = sample.image.copy()
    changed[8:48, 64:96] = 255 - changed[8:48, 64:96]
    assert measure(RENDER, sample.image, sample) == {}
    row = measure("film", changed, sample)
    assert row["matched"] == 2 and -0.5 < row["cosines"] < 0.6
    assert measure("other", sample.image, sample)["cosines"] == pytest.approx(2, abs=1e-4)


def test_the_cosine_is_that_of_the_vectors():
    sample = street()

    def recognise(crop):  # the first car as it was; the second turned by the angle of 3, 4, 5
        level = crop.mean()
        return np.float32([1, 0] if level < 200 else [0.6, 0.8])

    measure = IdentityMeasure(recognise=recognise)
    film = sample.image.copy()
    film[:, 56:] = 250
    measure(RENDER, sample.image, sample)
    row = measure("film", film, sample)
    assert row["cosines"] == pytest.approx(1 + 0.6) and row["matched"] == 2
    assert IDENTITY.statistic is not None
