import json

import numpy as np
import pytest
import torch

from realmaster_live.cli import main
from realmaster_live.cli.command import parse
from realmaster_live.errors import ConfigError
from realmaster_live.fidelity.judge import Judge
from realmaster_live.training.perception.command import evaluate
from realmaster_live.training.perception.groups import NAMES
from realmaster_live.training.perception.judge import export_judge
from realmaster_live.training.perception.judge_network import JudgeNetwork

pytest.importorskip("pycocotools")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def asked(folders, out, *more):
    train, test = map(str, folders)
    return [
        *("--train", train, "--test", test, "--out", str(out), "--engine", "identity"),
        *("--steps", "2", "--seeds", "2", *more),
    ]


def study(*flags):
    return parse(["evaluate", "perception", *flags])[1]


ALL = ["sim", "augmented", "mapped", "real", "mixed", "truth"]


@pytest.mark.slow
def test_all_variants_are_trained_tested_and_reported_and_kept(folders, tmp_path, capsys):
    assert main(["evaluate", "perception", *asked(folders, tmp_path)]) == 0
    output = capsys.readouterr().out
    assert "segmentation on path-traced, other towns" in output and "detection on" in output
    assert "of the gap to the truth" in output
    facts = json.loads((tmp_path / "perception.json").read_text())
    assert facts["frames"]["train"] == 3 and facts["test_towns"] == [3000]
    first = facts["comparisons"][0]
    assert list(first["mean"]) == ALL
    amounts = facts["labelled"]["path-traced, other towns"]
    assert sum(amounts["pixels"].values()) == pytest.approx(100) and amounts["boxes"]["vehicle"] > 0
    tables = (tmp_path / "perception.md").read_text()
    assert "| IoU, percent | of all pixels | sim | augmented |" in tables
    assert "| vehicle | 2 |" in tables.partition("| AP50, percent | boxes |")[2]
    # the identity engine's frames are the renders: nothing is gained, in no seed
    assert first["gain"]["real"] == first["gain"]["mixed"] == [0.0, 0.0]
    assert set(first["classes"]["sim"]) == {"road", "building", "sky", "pedestrian", "vehicle"}
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/jpeg") == 3 * 4 + 8 + 8  # three frames, one test picture each
    assert "<svg" in page and "http" not in page
    runs = sorted((tmp_path / "runs").glob("*/result.json"))
    assert len(runs) == 2 * 6 * 2
    trained = [path.with_name("network.safetensors").stat().st_mtime_ns for path in runs]
    assert main(["evaluate", "perception", *asked(folders, tmp_path)]) == 0
    assert [p.with_name("network.safetensors").stat().st_mtime_ns for p in runs] == trained


def test_other_weights_of_the_engine_leave_the_arms_that_it_has_no_part_in(folders, tmp_path):
    few = ("--tasks", "segmentation", "--seeds", "1", "--variants")
    plain, every = ("sim,augmented,mapped,truth",), (",".join(ALL),)
    evaluate(study(*asked(folders, tmp_path, *few, *plain)))
    assert not (tmp_path / "realized").exists(), "nothing was realized for nothing"
    [comparison] = evaluate(study(*asked(folders, tmp_path, *few, *every)))
    assert list(comparison.means) == ALL

    def trained():
        paths = {name: tmp_path / "runs" / f"segmentation-{name}-0" for name in ALL}
        return {n: (p / "network.safetensors").stat().st_mtime_ns for n, p in paths.items()}

    before = trained()
    for path in tmp_path.glob("realized/*/*.npz"):  # as if other weights had made them
        with np.load(path) as kept:
            darker = {name: picture // 2 for name, picture in kept.items()}
        np.savez(path, **darker)
    evaluate(study(*asked(folders, tmp_path, *few, *every)))
    after = trained()
    assert [name for name in ALL if after[name] != before[name]] == ["real", "mixed"]


@pytest.mark.slow
def test_other_steps_are_trained_anew(folders, tmp_path):
    few = ("--variants", "sim", "--tasks", "segmentation", "--seeds", "1")
    path = tmp_path / "runs" / "segmentation-sim-0" / "result.json"
    curves = []
    for steps in ("2", "3"):
        evaluate(study(*asked(folders, tmp_path, *few), "--steps", steps))
        curves.append(json.loads(path.read_text()))
    assert [each["key"]["options"]["steps"] for each in curves] == [2, 3]
    assert curves[0]["curve"] != curves[1]["curve"]


def test_wrong_uses_are_refused(folders, tmp_path, capsys):
    with pytest.raises(ConfigError, match="'sin'"):
        evaluate(study(*asked(folders, tmp_path, "--variants", "sin")))
    with pytest.raises(ConfigError, match="--seeds"):
        evaluate(study(*asked(folders, tmp_path, "--seeds", "0")))
    twice = ("--real-set", str(tmp_path / "a" / "set"), str(tmp_path / "b" / "set"))
    with pytest.raises(ConfigError, match="set, set"):
        evaluate(study(*asked(folders, tmp_path, *twice)))
    same = [folders[0], folders[0]]
    assert main(["evaluate", "perception", *asked(same, tmp_path)]) == 1
    assert "town 2000 in both" in capsys.readouterr().err


@pytest.mark.slow
def test_a_judge_is_trained_and_written_as_the_gate_reads_it(folders, tmp_path, capsys):
    path = tmp_path / "judge.onnx"
    assert (
        main(["evaluate", "perception", *asked(folders, tmp_path, "--judge-out", str(path))]) == 0
    )
    figures = json.loads(capsys.readouterr().out)
    assert [each["variant"] for each in figures] == ["sim", "real", "truth"]
    assert all(0 <= each["right_order"] <= 100 for each in figures)
    assert path.stat().st_size <= 200_000
    judge = Judge(path)
    assert tuple(judge.groups) == NAMES
    seen = judge.predict(np.zeros((96, 160, 3), np.uint8))
    assert seen.share.shape == (len(NAMES), 24, 40) and seen.log_depth.shape == (24, 40)


@pytest.mark.slow
def test_a_judges_file_says_what_its_network_does(tmp_path):
    torch.manual_seed(1)
    network = JudgeNetwork().train()
    with torch.no_grad():
        for _ in range(3):  # the norms' running means leave their first values
            network(torch.rand(4, 3, 64, 96))
        for parameter in network.heads.parameters():
            parameter *= 20.0  # answers that differ visibly
    picture = np.random.default_rng(0).integers(0, 256, (64, 128, 3), np.uint8)
    network.eval()
    with torch.no_grad():
        logits, log_depth = network(
            torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None]
        )
    export_judge(network, tmp_path / "judge.onnx")
    seen = Judge(tmp_path / "judge.onnx").predict(picture)
    assert np.abs(seen.share - logits[0].softmax(0).numpy()).max() < 0.02
    assert np.abs(seen.log_depth - log_depth[0, 0].numpy()).max() < 0.02
    assert seen.share.std() > 0.01
