import dataclasses
import math

import pytest
import torch
from torch import nn

from realmaster_live.errors import BuildError, ConfigError
from realmaster_live.training.checkpoints import latest
from realmaster_live.training.loop import Interval, StageState, check_fingerprint, run_stage
from realmaster_live.training.optimization import Optimization, averaging, learning_rate


class Line:
    """Learns the slope of a line; batch i has the points of its own number."""

    name = "line"

    def __init__(self):
        torch.manual_seed(0)
        self.module = nn.Linear(1, 1)
        self.batches, self.looks = [], []

    def loss(self, step):
        self.batches.append(step)
        x = torch.randn(8, 1, generator=torch.Generator().manual_seed(step))
        return {
            "loss": (self.module(x) - 3.0 * x).square().mean(),
            "batch": torch.tensor(float(step)),
        }

    def validate(self):
        self.looks.append(self.module.weight.item())
        return {"slope": self.looks[-1]}


def run(folder, options, *, stop_at=None, save=None, validate=None):
    """Train a line; return the stage, its state and its log."""
    stage, log = Line(), []
    state = StageState(stage.module, options)
    finished = run_stage(
        stage, state, folder, facts=dict, save=save or Interval(), validate=validate or Interval(),
        log=log.append, log_steps=1, stop=lambda: state.step == stop_at,
    )  # fmt: skip
    assert finished == (stop_at is None)
    return stage, state, log


def test_accumulated_batches_are_counted_through_and_averaged(tmp_path):
    options = Optimization(steps=3, accumulate=4)
    stage, state, log = run(tmp_path, options)
    assert stage.batches == list(range(12))
    assert [entry["batch"] for entry in log if "loss" in entry] == [1.5, 5.5, 9.5]
    fresh = Line()
    mean = torch.stack([fresh.loss(batch)["loss"] for batch in range(4)]).mean()
    assert log[0]["loss"] == pytest.approx(float(mean.detach()), abs=1e-5)
    mean.backward()
    norm = torch.cat([p.grad.flatten() for p in fresh.module.parameters()]).norm()
    assert log[0]["grad"] == pytest.approx(float(norm), abs=1e-3)
    assert state.step == 3


def test_a_parted_run_is_the_whole_one_bit_for_bit(tmp_path):
    options = Optimization(steps=9, accumulate=2, learning_rate=0.1)
    _, whole, _ = run(tmp_path / "whole", options)
    run(tmp_path / "parted", options, stop_at=4)
    _, parted, _ = run(tmp_path / "parted", options)
    for name, files in whole.files().items():
        for key, tensor in files.items():
            assert torch.equal(tensor, parted.files()[name][key]), key


def test_saves_and_looks_come_every_so_many_steps(tmp_path):
    stage, state, log = run(
        tmp_path, Optimization(steps=7), save=Interval(steps=3), validate=Interval(steps=2)
    )
    assert [path.name for path in sorted(tmp_path.glob("step=*"))] == ["step=6", "step=7"]
    assert [entry["step"] for entry in log if "validation" in entry] == [2, 4, 6, 7]
    assert stage.module.weight.item() == state.averaged["weight"].item() == stage.looks[-1]
    assert Interval(seconds=5.0).due(1, 5.1)
    assert not Interval(seconds=5.0).due(1, 4.9)


def test_a_finished_run_stays_finished_until_it_gets_more_steps(tmp_path):
    run(tmp_path, Optimization(steps=4))
    stage, _, log = run(tmp_path, Optimization(steps=4))
    assert (stage.batches, log) == ([], [])
    stage, state, _ = run(tmp_path, Optimization(steps=6))
    assert (stage.batches, state.step) == ([4, 5], 6)
    assert latest(tmp_path)[1]["step"] == 6


def test_weights_of_another_shape_are_refused(tmp_path):
    run(tmp_path, Optimization(steps=1))
    state = StageState(nn.Linear(2, 1), Optimization(steps=2))
    with pytest.raises(BuildError, match=r"1 that differ \(weight\)"):
        state.load(*latest(tmp_path))


def test_schedules_by_hand():
    options = Optimization(steps=100, learning_rate=1.0, warm_up=10, final_rate=0.1)
    rates = {
        kind: [learning_rate(dataclasses.replace(options, schedule=kind), step, 0.0)
               for step in (0, 50, 100)]
        for kind in ("cosine", "linear", "constant")
    }  # fmt: skip
    assert rates["cosine"] == pytest.approx([0.1, 0.55, 0.1])
    assert rates["linear"] == pytest.approx([0.1, 0.55, 0.1])
    assert rates["constant"] == pytest.approx([0.1, 1.0, 1.0])
    quarter = dataclasses.replace(options, schedule="cosine", warm_up=0)
    assert learning_rate(quarter, 25, 0.0) == pytest.approx(
        0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 4))
    )
    assert learning_rate(dataclasses.replace(options, budget_s=10.0), 20, 5.0) == pytest.approx(
        0.55
    )  # half of the seconds are ahead of a fifth of the steps


def test_averaging_begins_where_it_is_configured():
    options = Optimization(ema=0.9, ema_from=100)
    assert averaging(options, 100) == 0.0
    assert averaging(options, 105) == pytest.approx(5 / 25)
    assert averaging(options, 5000) == 0.9


def test_changes_are_reported_with_the_flag_that_accepts_them(tmp_path, caplog):
    saved, wanted = {"rank": 4, "seed": 0, "gone": 1}, {"rank": 8, "seed": 0, "new": 2}
    with pytest.raises(ConfigError) as error:
        check_fingerprint(saved, wanted, tmp_path, accepted=["gone"])
    text = str(error.value)
    assert "rank 4 -> 8; new None -> 2" in text or "new None -> 2; rank 4 -> 8" in text
    assert "--accept-change rank" in text
    assert "gone" not in text
    check_fingerprint(saved, wanted, tmp_path, accepted=["gone", "rank", "new"])
    assert "goes on with rank 4 -> 8" in caplog.text
