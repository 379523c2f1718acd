"""Faces: a detector and a recogniser as ONNX, small enough to be built here.

The detector has the outputs of YuNet and sees a face wherever a cell of 32 pixels is bright red;
the recogniser tells faces apart by their colours.
"""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from realmaster_live.errors import ConfigError
from realmaster_live.training.pairs.gate import GateConfig, load_networks, measure
from realmaster_live.training.pairs.identity import (
    TEMPLATE,
    ArcFace,
    Faces,
    YuNet,
    compare,
    match_boxes,
    upright,
)
from realmaster_live.training.pairs.rules import judge

STRIDES = (8, 16, 32)
FLOAT = TensorProto.FLOAT
HEIGHT, WIDTH = 128, 192


def save(path, nodes, inputs, outputs, constants):
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def yunet(tmp_path_factory):
    """A graph with YuNet's outputs: a face of 48 pixels at every red cell of stride 32."""
    nodes, outputs, constants = [], {}, {}
    # score of a cell: red above 200 levels and green below 55, in BGR
    constants["redness"] = np.array([0, -1, 1], np.float32).reshape(1, 3, 1, 1)
    constants["threshold"] = np.array([-140.0], np.float32)
    constants["columns"] = np.array([1, -1, 1], np.int64)
    landmarks = (TEMPLATE / 112 - 0.5) * 48 / 32  # about the middle of the cell
    for stride in STRIDES:
        pool = {"kernel_shape": [stride] * 2, "strides": [stride] * 2}
        nodes += [
            helper.make_node("Conv", ["input", "redness"], [f"red{stride}"]),
            helper.make_node("AveragePool", [f"red{stride}"], [f"mean{stride}"], **pool),
            helper.make_node("Reshape", [f"mean{stride}", "columns"], [f"flat{stride}"]),
            helper.make_node("Add", [f"flat{stride}", "threshold"], [f"over{stride}"]),
            helper.make_node("Sigmoid", [f"over{stride}"], [f"seen{stride}"]),
        ]
        size = np.array([0.5, 0.5, np.log(48 / stride), np.log(48 / stride)], np.float32)
        numbers = {
            "cls": np.array([1.0 if stride == 32 else 0.0], np.float32),
            "obj": np.ones(1, np.float32),
            "bbox": size,
            "kps": (landmarks + 0.5).astype(np.float32).reshape(-1),
        }
        for name, value in numbers.items():
            output, width = f"{name}_{stride}", len(value)
            constants[f"{output}_value"] = value.reshape(1, 1, width)
            constants[f"{output}_zero"] = np.zeros((1, 1, width), np.float32)
            if name in ("cls", "obj"):
                pair = [f"seen{stride}", f"{output}_value"]
                nodes.append(helper.make_node("Mul", pair, [output]))
            else:
                nodes += [
                    helper.make_node(
                        "Mul", [f"flat{stride}", f"{output}_zero"], [f"{output}_none"]
                    ),
                    helper.make_node("Add", [f"{output}_none", f"{output}_value"], [output]),
                ]
            outputs[output] = [1, None, width]
    path = tmp_path_factory.mktemp("yunet") / "yunet.onnx"
    return save(path, nodes, {"input": [1, 3, HEIGHT, WIDTH]}, outputs, constants)


@pytest.fixture(scope="module")
def arcface(tmp_path_factory):
    """A graph whose vector of a crop is its mean colours in quarters."""
    nodes = [
        helper.make_node("AveragePool", ["x"], ["a"], kernel_shape=[56, 56], strides=[56, 56]),
        helper.make_node("Flatten", ["a"], ["vector"]),
    ]
    path = tmp_path_factory.mktemp("arcface") / "arcface.onnx"
    return save(path, nodes, {"x": [1, 3, 112, 112]}, {"vector": [1, 12]}, {})


def crowd(*colours_and_cells):
    """A frame with red cells, each in its own shade of red."""
    frame = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    for (row, column), blue in colours_and_cells:
        frame[32 * row : 32 * row + 32, 32 * column : 32 * column + 32] = (250, 20, blue)
    return frame


def test_the_detector_runs_in_opencv(yunet):
    found = YuNet(yunet)(crowd(((1, 1), 0), ((2, 4), 0)))
    left = found.boxes[found.boxes[:, 0].argsort()]
    np.testing.assert_allclose(left, [[24, 24, 48, 48], [120, 56, 48, 48]], atol=0.5)
    first = found.landmarks[found.boxes[:, 0].argmin()]
    np.testing.assert_allclose(first, 48 + (TEMPLATE / 112 - 0.5) * 48, atol=0.5)
    assert len(YuNet(yunet)(crowd()).boxes) == 0


def test_faces_are_compared_in_their_places_and_missing_ones_counted(yunet, arcface):
    detect, recognise = YuNet(yunet), ArcFace(arcface)
    source = np.stack([crowd(((1, 1), 0), ((2, 4), 200))] * 2)
    same = compare(source, source, detect, recognise, least_px=20)
    assert (same.faces, same.missed) == (4, 0)
    assert same.similarity == pytest.approx(1)
    lost = np.stack([source[0], crowd(((1, 1), 0))])
    some = compare(source, lost, detect, recognise, least_px=20)
    assert (some.faces, some.missed) == (4, 1)
    assert some.similarity == pytest.approx(1)
    others = np.stack([crowd(((1, 1), 255), ((2, 4), 0))] * 2)
    changed = compare(source, others, detect, recognise, least_px=20)
    assert changed.missed == 0
    assert changed.similarity < 0.9
    assert compare(source, source, detect, recognise, least_px=60).faces == 0


def test_boxes_meet_by_overlap_each_once():
    boxes = np.array([[0, 0, 10, 10], [2, 0, 10, 10], [50, 50, 10, 10]], np.float32)
    others = np.array([[2, 0, 10, 10], [80, 80, 5, 5]], np.float32)
    assert match_boxes(boxes, others) == [(1, 0)], "the better of two overlaps, and no third"
    assert match_boxes(boxes, others[:0]) == []


def test_faces_are_turned_upright():
    angle = np.deg2rad(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    picture = np.zeros((200, 200, 3), np.uint8)
    places = 0.8 * (TEMPLATE - 56) @ turn.T + 100
    for (x, y), shade in zip(places, (50, 100, 150, 200, 250), strict=True):
        picture[round(y) - 2 : round(y) + 3, round(x) - 2 : round(x) + 3] = shade
    crop = upright(picture, places.astype(np.float32))
    assert crop.shape == (112, 112, 3)
    for (x, y), shade in zip(TEMPLATE, (50, 100, 150, 200, 250), strict=True):
        assert crop[round(y), round(x), 0] == pytest.approx(shade, abs=10)


def test_small_faces_are_left_out():
    boxes = np.array([[0, 0, 40, 40], [0, 0, 40, 20]], np.float32)
    faces = Faces(boxes=boxes, landmarks=np.zeros((2, 5, 2), np.float32))
    assert len(faces.of_size(30).boxes) == 1


def test_the_gate_judges_identity_where_models_are_given(yunet, arcface):
    config = GateConfig(
        face_model=str(yunet), identity_model=str(arcface), least_face_px=20, samples=2,
        min_face_similarity=0.95,
    )  # fmt: skip
    networks = load_networks(config)
    source = np.stack([crowd(((1, 1), 0), ((2, 4), 200))] * 3)
    kept = measure(source, source, config, networks)
    assert (kept["faces"], kept["missed_faces"]) == (4, 0)
    assert judge(kept, config.limits).passed
    lost = np.stack([crowd(((1, 1), 255))] * 3)
    verdict = judge(measure(source, lost, config, networks), config.limits)
    assert "min_face_similarity" in verdict.failed
    assert verdict.metrics["missed_faces"] == 0.5
    nobody = measure(np.stack([crowd()] * 3), np.stack([crowd()] * 3), config, networks)
    assert nobody["faces"] == 0
    assert judge(nobody, config.limits).passed, "where there are no faces there is no rule on them"
    assert json.dumps(nobody)


def test_missing_models_are_reported(tmp_path):
    with pytest.raises(ConfigError, match="as face_model in"):
        YuNet(tmp_path / "yunet.onnx")
    with pytest.raises(ConfigError, match="as identity_model in"):
        ArcFace(tmp_path / "arcface.onnx")


def test_a_face_that_the_labels_do_not_show_as_a_person_is_none(yunet, arcface):
    config = GateConfig(
        face_model=str(yunet), identity_model=str(arcface), least_face_px=20, samples=2
    )
    networks = load_networks(config)
    source = np.stack([crowd(((1, 1), 0), ((2, 4), 200))] * 3)
    without_poster = np.stack([crowd(((1, 1), 0))] * 3)
    people = np.zeros((3, HEIGHT, WIDTH), bool)
    people[:, 32:96, 24:72] = True  # the person whose face lies at row 1, column 1
    blind = measure(source, without_poster, config, networks)
    labelled = measure(source, without_poster, config, networks, people)
    assert (blind["faces"], blind["missed_faces"]) == (4, 0.5)
    assert (labelled["faces"], labelled["missed_faces"], labelled["face_similarity"]) == (2, 0, 1)
