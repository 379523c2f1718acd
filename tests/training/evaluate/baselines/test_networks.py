"""Methods that run networks here, on diffusers' own classes with tiny random weights."""

import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny_editors import save_klein
from tiny_films import make_cosmos, save_lucy
from tiny_vace import save_vace

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.training.evaluate.baselines import methods
from realmaster_live.training.evaluate.baselines.baseline import Piece
from realmaster_live.training.evaluate.baselines.cosmos import Cosmos, CosmosConfig
from realmaster_live.training.recipe_tables import to_toml

SMALL = {"steps": 1, "guidance": 1.0, "dtype": "float32", "device": "cpu", "pixels": 64 * 96}


def piece(count=6, size=(60, 90)):
    draw = np.random.default_rng(0)
    small = draw.integers(0, 256, (*(side // 10 for side in size), 3), np.uint8)
    still = cv2.resize(small, size[::-1], interpolation=cv2.INTER_CUBIC)
    return Piece(frames=np.stack([np.roll(still, index, 1) for index in range(count)]), fps=10.0)


def realized(name, table, given=None):
    """Check and run a method; its film has as many frames as the piece, and is the same again."""
    chosen = methods.load(name, table)
    chosen.check()
    given = given or piece()
    made = chosen.realize(given, Path("unused.mp4"))
    assert made.dtype == np.uint8 and len(made) == len(given.frames)
    assert made.std() > 1, "a picture, not one colour"
    assert "folder" not in chosen.parameters, "where weights are changes no picture"
    return made


def test_lucyedit_edits_a_piece_of_any_length_and_size(tmp_path):
    folder = str(save_lucy(tmp_path / "lucy"))
    licence = {"accept_licence": "lucy-edit-dev-non-commercial"}
    made = realized("lucyedit", SMALL | licence | {"folder": folder})
    assert made.shape == (6, 64, 96, 3)
    again = realized("lucyedit", SMALL | licence | {"folder": folder})
    np.testing.assert_array_equal(again, made)
    with pytest.raises(ConfigError, match=r'accept_licence = "lucy-edit-dev.*into \[lucyedit\]'):
        methods.load("lucyedit", {"folder": folder}).check()
    with pytest.raises(ConfigError, match="hf download decart-ai/Lucy-Edit-Dev"):
        methods.load("lucyedit", licence | {"folder": str(tmp_path)}).check()


def test_vace_alone_follows_the_edges(tmp_path):
    folder = str(save_vace(tmp_path / "vace"))
    made = realized("vace", SMALL | {"folder": folder, "window": 5, "overlap": 1})
    assert made.shape == (6, 64, 96, 3)
    with pytest.raises(ConfigError, match=r"in \[vace\]"):
        methods.load("vace", {"method": "exact"})


def test_the_pair_pipeline_runs_its_own_stages(tmp_path):
    tables = {
        "anchors": {
            "editor": "flux2-klein-4b", "folder": str(save_klein(tmp_path / "klein")),
            "steps": 1, "tries": 1, "pixels": 64 * 96, "max_shift_px": 1e6, "min_edge_f1": 0.0,
            "dtype": "float32", "device": "cpu",
        },
        "propagate": {
            "folder": str(save_vace(tmp_path / "vace")), "steps": 1, "guidance": 1.0,
            "dtype": "float32", "device": "cpu",
        },
    }  # fmt: skip
    recipe = tmp_path / "pairs.toml"
    recipe.write_text(to_toml(tables))
    table = {"recipe": str(recipe), "pixels": 64 * 96}
    assert realized("pipeline", table).shape == (6, 64, 96, 3)
    before = methods.load("pipeline", table).parameters
    tables["anchors"]["seed"] = 1
    recipe.write_text(to_toml(tables))
    assert methods.load("pipeline", table).parameters != before
    recipe.write_text('[anchors]\neditor = "path-traced"\n[propagate]\nmethod = "exact"\n')
    with pytest.raises(ConfigError, match="neither truth nor labels"):
        methods.load("pipeline", table).check()
    missing = {"anchors": {"folder": "none"}, "propagate": {"folder": "none"}}
    recipe.write_text(to_toml(missing))
    with pytest.raises(ConfigError, match=r"\[anchors\] .*; \[propagate\] "):
        methods.load("pipeline", table).check()


def test_cosmos_makes_a_piece_anew_along_its_edges():
    pytest.importorskip("torchvision")
    config = CosmosConfig(**SMALL, prompt="rain")
    chosen, given = Cosmos(config, make_cosmos()), piece(count=7)
    made = chosen.realize(given, Path("unused.mp4"))
    assert made.shape == (7, 64, 96, 3) and made.std() > 1
    other = chosen.realize(Piece(frames=given.frames[::-1], fps=10.0), Path("unused.mp4"))
    assert (made != other).any()


def test_cosmos_says_what_it_lacks():
    with pytest.raises(ImportError, match=r"\[cosmos\]"):
        methods.load("cosmos", {"folder": "none"}).check()


PROGRAM = """
import argparse
from pathlib import Path
from realmaster_live.training.pairs.videos import read_video, write_video
parser = argparse.ArgumentParser()
for name in ("input_video", "output_video", "prompt", "lora_path"):
    parser.add_argument(f"--{name}", required=True)
for name in ("num_frames", "device_id", "height", "width", "seed", "fps"):
    parser.add_argument(f"--{name}", type=int, required=True)
given = parser.parse_args()
frames = read_video(Path(given.input_video))
assert frames.shape == (given.num_frames, given.height, given.width, 3), frames.shape
assert Path(given.lora_path).read_bytes() == b"lora" and given.num_frames % 4 == 1
if given.prompt == "fail":
    raise SystemExit("no GPU here")
write_video(Path(given.output_video), 255 - frames, given.fps)
"""


def test_editto_runs_in_the_users_checkout(tmp_path, monkeypatch):
    (tmp_path / "inference").mkdir()
    (tmp_path / "inference" / "infer_ditto.py").write_text(PROGRAM)
    (tmp_path / "models").mkdir()
    lora = tmp_path / "models" / "ditto_sim2real.safetensors"
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[4]))
    monkeypatch.setenv("DITTO_CHECKOUT", str(tmp_path))
    table = {"accept_licence": "cc-by-nc-sa-4.0", "pixels": 64 * 96}
    with pytest.raises(ConfigError, match="ditto_sim2real"):
        methods.load("editto", table).check()
    lora.write_bytes(b"lora")
    given = piece()
    made = realized("editto", table, given)
    assert made.shape == (6, 64, 96, 3)
    assert abs(int(made.mean()) - int(255 - given.frames.mean())) < 6
    with pytest.raises(PairError, match=r"got status 1 \(no GPU here\)"):
        methods.load("editto", table | {"prompt": "fail"}).realize(given, tmp_path / "a.mp4")
    with pytest.raises(PairError, match="FileNotFoundError: check python and timeout_s"):
        methods.load("editto", table | {"python": "no-python"}).realize(given, tmp_path / "a.mp4")
    with pytest.raises(ConfigError, match="consent to the licence of Ditto"):
        methods.load("editto", {}).check()
    monkeypatch.delenv("DITTO_CHECKOUT")
    with pytest.raises(ConfigError, match="got no folder: clone it and set DITTO_CHECKOUT"):
        methods.load("editto", table).check()
    assert sys.executable == methods.load("editto", table).command(lora, lora, made, 10.0)[0]


def save_network(path, *, shape=(1, 3, "H", "W"), inputs=1):
    """Write a network that inverts its picture."""
    ports = [
        helper.make_tensor_value_info(f"in{n}", TensorProto.FLOAT, shape) for n in range(inputs)
    ]
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)
    node = helper.make_node("Neg", ["in0"], ["out"])
    graph = helper.make_graph([node], "g", ports, [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return str(path)


def test_a_network_of_the_users_translates_each_frame(tmp_path):
    given = piece(size=(64, 96))
    made = realized("perframe", {"onnx": save_network(tmp_path / "a.onnx")}, given)
    assert np.abs(made.astype(int) - (255 - given.frames)).max() <= 1, "-1..1 inverted"
    fixed = save_network(tmp_path / "b.onnx", shape=(1, 3, 32, 48))
    assert realized("perframe", {"onnx": fixed}, given).shape == (6, 32, 48, 3)
    two = save_network(tmp_path / "c.onnx", inputs=2)
    with pytest.raises(ConfigError, match="expected one input"):
        methods.load("perframe", {"onnx": two}).check()
    (tmp_path / "d.onnx").write_bytes(b"no network")
    with pytest.raises(ConfigError, match="expected a network in"):
        methods.load("perframe", {"onnx": str(tmp_path / "d.onnx")}).check()
    with pytest.raises(ConfigError, match="write its path as `onnx`"):
        methods.load("perframe", {}).check()
    flat = save_network(tmp_path / "e.onnx")
    assert "0..1" not in str(methods.load("perframe", {"onnx": flat}).parameters)
