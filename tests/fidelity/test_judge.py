"""Judge networks: what a file must be, and what the gate makes of its answers."""

import json
import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.errors import ConfigError
from realmaster_live.fidelity.gate import FidelityGate
from realmaster_live.fidelity.judge import Judge
from realmaster_live.fidelity.measure import measure

SIZE = (64, 96)
ROAD, SKY, CAR = 1, 11, 14
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
GROUPS = {"road": [ROAD], "vehicle": [CAR, 15], "sky": [SKY]}  # by the picture's red, green, blue
OUTPUTS = ("classes", "log_depth")
DEPTHS = [2.0, 1.0, 5.0]  # log metres of red, green and blue


def write_judge(
    path, *, groups=GROUPS, name="image", outputs=("classes", "log_depth"), width="1024"
):
    """Write a judge that takes colours for classes."""
    weights = {
        "colours": np.eye(3, dtype=np.float32)[..., None, None] * 20,
        "depths": np.array(DEPTHS, np.float32).reshape(1, 3, 1, 1),
    }
    graph = helper.make_graph(
        [
            helper.make_node("AveragePool", [name], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
            helper.make_node("Conv", ["small", "colours"], [outputs[0]]),
            helper.make_node("Conv", ["small", "depths"], [outputs[1]]),
        ],
        "judge",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, "H", "W"])],
        [
            helper.make_tensor_value_info(outputs[0], TensorProto.FLOAT, [1, 3, "h", "w"]),
            helper.make_tensor_value_info(outputs[1], TensorProto.FLOAT, [1, 1, "h", "w"]),
        ],
        [onnx.numpy_helper.from_array(values, key) for key, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    text = groups if isinstance(groups, str) else json.dumps(groups)
    helper.set_model_props(model, {"groups": text, "width": width})
    onnx.save(model, str(path))
    return path


@pytest.fixture
def judge(tmp_path):
    return Judge(write_judge(tmp_path / "judge.onnx"))


def street():
    """A picture in the judge's colours, with its labels: sky, road, and a car on it."""
    semantic = np.full(SIZE, SKY, np.uint8)
    semantic[32:] = ROAD
    semantic[24:48, 32:64] = CAR
    instance = np.where(semantic == CAR, CAR << 16 | 5, 0).astype(np.int32)
    depth = np.choose(np.searchsorted([ROAD, SKY, CAR], semantic), [7.0, 150.0, 3.0])
    picture = np.zeros((*SIZE, 3), np.uint8)
    for number, colour in ((SKY, BLUE), (ROAD, RED), (CAR, GREEN)):
        picture[semantic == number] = colour
    labels = {"semantic": semantic, "instance": instance, "depth": depth.astype(np.float32)}
    return picture, labels


def test_sees_groups_and_depth_at_a_quarter(judge):
    picture, labels = street()
    seen = judge.predict(picture)
    assert seen.share.shape == (3, 16, 24) and seen.log_depth.shape == (16, 24)
    assert np.allclose(seen.share.sum(0), 1)
    assert list(judge.groups) == ["road", "vehicle", "sky"]
    assert judge.group_of[[ROAD, CAR, 15, SKY, 3]].tolist() == [0, 1, 1, 2, -1]
    wanted = judge.group_of[labels["semantic"][::4, ::4]]
    assert np.array_equal(seen.share.argmax(0), wanted)
    odd = judge.predict(np.zeros((70, 100, 3), np.uint8))
    assert odd.log_depth.shape == (16, 24)


def test_semantics_and_depth_are_the_judges(judge):
    picture, labels = street()
    whole = measure(picture, picture, labels, judge=judge)
    assert whole.semantics == pytest.approx(1) and whole.depth_order == pytest.approx(1)
    (car,) = whole.instances
    assert car.semantics == pytest.approx(1)

    paved = picture.copy()  # the car is road
    paved[labels["semantic"] == CAR] = RED
    trust = measure(picture, paved, labels, judge=judge)
    assert trust.instances[0].semantics < 0.01
    assert trust.semantics < 0.85 and trust.depth_order < 0.8

    far = picture.copy()  # sky below, road above: an order that is wrong everywhere but at the car
    far[labels["semantic"] == SKY], far[labels["semantic"] == ROAD] = RED, BLUE
    assert measure(picture, far, labels, judge=judge).depth_order < 0.5


def test_what_it_does_not_know_in_the_render_is_not_judged(judge):
    picture, labels = street()
    grey = np.full_like(picture, 128)
    trust = measure(grey, picture, labels, judge=judge)
    assert trust.semantics == pytest.approx(1)  # a third each in grey: just known
    labels["semantic"][:] = 3  # a class in no group
    assert math.isnan(
        measure(picture, picture, {"semantic": labels["semantic"]}, judge=judge).semantics
    )


def test_the_gate_takes_a_file(tmp_path):
    path = write_judge(tmp_path / "judge.onnx")
    from realmaster_live.frames.chunk import Chunk, ChunkSpec

    picture, labels = street()
    chunk = Chunk(
        index=0,
        camera="front",
        frames=picture[None],
        frame_ids=np.zeros(1, np.int64),
        timestamps=np.zeros(1),
        captured_at=np.zeros(1),
        intrinsics=np.eye(3),
        cam_to_world=np.eye(4)[None],
        labels={name: label[None] for name, label in labels.items()},
    )
    engine = IdentityEngine(ChunkSpec(frames=1, height=64, width=96, fps=20.0))
    gate = FidelityGate(engine, policy=("quarantine",), judge=path)
    assert gate.realize(chunk).trust[0].semantics == pytest.approx(1)


def test_a_file_that_is_no_judge_is_refused(tmp_path):
    path = tmp_path / "other.onnx"
    path.write_bytes(b"no network")
    with pytest.raises(ConfigError, match=r"judge network in .*other.onnx, got .*: give an ONNX"):
        Judge(path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 7\n")
    with pytest.raises(ConfigError, match="got a Git LFS pointer: run git lfs pull"):
        Judge(path)
    for width in ("wide", "-1", "0", "1e3", "9" * 400):
        with pytest.raises(ConfigError, match="metadata 'width' in pixels"):
            Judge(write_judge(path, width=width))
    with pytest.raises(ConfigError, match=r"input 'image', outputs .* got \['picture'\]"):
        Judge(write_judge(path, name="picture"))
    with pytest.raises(ConfigError, match="each once, got"):
        Judge(write_judge(path, groups={"a": [1], "b": [1]}))
    with pytest.raises(ConfigError, match="each once, got"):
        Judge(write_judge(path, groups={"a": [99]}))
    for groups in ({"a": [float("inf")]}, {"a": 3}, [1], "[" * 100_000):
        with pytest.raises(ConfigError, match="each once, got"):
            Judge(write_judge(path, groups=groups))
    with pytest.raises(ConfigError, match="as many groups as logits, got 2 for 3"):
        Judge(write_judge(path, groups={"a": [1], "b": [2]}))
