"""A stage over clips: what is done stays done, what fails is tried again and then given up."""

import pytest
from trial_dataset import calls, make_dataset, trial_clip, worker

from realmaster_live.errors import ConfigError
from realmaster_live.jobs.work import DONE, QUARANTINED
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.collect import find_garbage
from realmaster_live.training.pairs.manifest import read_clips, rows, write_clips
from realmaster_live.training.pairs.work import release_quarantined


def work(dataset, stage="copies", **options) -> int:
    return worker(dataset, stage, **options).run()


def test_a_second_run_makes_nothing(tmp_path):
    dataset = make_dataset(tmp_path)
    assert work(dataset) == 4
    assert work(dataset) == 0
    assert len(calls(dataset)) == 4
    clip = read_clips(dataset)[0]
    made = Chain(dataset).finished("copies")
    assert made[clip.clip_id].read_text().startswith("copy of c00")
    assert Chain(dataset).finished("counts") == {}


def test_a_row_states_how_its_object_was_made(tmp_path):
    dataset = make_dataset(tmp_path)
    work(dataset)
    work(dataset, "counts")
    chain = Chain(dataset)
    row = Chain(dataset).rows("counts")["c01"]
    assert row.inputs == {"copies": chain.key("copies", chain.clips[1])}
    assert row.facts == {"size": 100}
    assert row.parameters_hash == chain.spec("counts").parameters_hash
    assert row.wall_s > 0
    assert row.bytes == chain.finished("counts")["c01"].stat().st_size


def test_other_parameters_make_other_objects_beside_the_old_ones(tmp_path):
    dataset = make_dataset(tmp_path)
    work(dataset)
    work(dataset, "counts")
    old = Chain(dataset).finished("copies")
    make_dataset(dataset, text="print")
    assert Chain(dataset).finished("copies") == {}
    assert Chain(dataset).finished("counts") == {}, "what was made of the old copies is of no use"
    assert work(dataset) == 4
    assert all(path.exists() for path in old.values())
    make_dataset(dataset)
    assert Chain(dataset).finished("copies") == old
    assert work(dataset) == 0


def test_a_new_prompt_or_new_frames_make_a_clip_anew_and_only_it(tmp_path):
    dataset = make_dataset(tmp_path)
    work(dataset)
    write_clips(dataset, [*read_clips(dataset), trial_clip("c99")])
    assert work(dataset) == 1


def test_a_poison_clip_is_given_up_with_its_traceback_and_its_neighbours_live(tmp_path):
    dataset = make_dataset(tmp_path, poison=["c02"])
    assert work(dataset) == 3
    found = Chain(dataset).rows("copies")
    assert {name: row.status for name, row in found.items()} == {
        "c00": DONE, "c01": DONE, "c02": QUARANTINED, "c03": DONE,
    }  # fmt: skip
    assert found["c02"].attempts == 3
    assert "Traceback" in found["c02"].error
    assert "in run" in found["c02"].error
    assert "expected another clip, got c02" in found["c02"].error
    assert calls(dataset) == ["c00", "c01", "c02", "c03", "c02", "c02"]
    assert work(dataset, "counts") == 3, "what reads the poison clip's object waits"
    assert work(dataset) == 0


def test_another_chance_begins_to_count_again(tmp_path):
    dataset = make_dataset(tmp_path, poison=["c02"], run={"attempts": 2})
    work(dataset)
    assert release_quarantined(Chain(dataset), "copies") == 1
    make_dataset(dataset, run={"attempts": 2})
    assert work(dataset) == 1
    row = Chain(dataset).rows("copies")["c02"]
    assert (row.status, row.attempts, row.facts) == (DONE, 1, {"attempt": 0})
    assert release_quarantined(Chain(dataset), "copies") == 0


def test_a_job_knows_how_often_it_failed(tmp_path):
    dataset = make_dataset(tmp_path, poison=["c00"], run={"attempts": 5})
    one = worker(dataset)
    one.attempt(one.keys[0])
    make_dataset(dataset, run={"attempts": 5})
    work(dataset)
    assert Chain(dataset).rows("copies")["c00"].facts == {"attempt": 1}


def test_a_file_that_was_removed_is_made_again(tmp_path):
    dataset = make_dataset(tmp_path)
    work(dataset)
    Chain(dataset).finished("copies")["c01"].unlink()
    assert sorted(Chain(dataset).finished("copies")) == ["c00", "c02", "c03"]
    assert work(dataset) == 1
    assert calls(dataset)[4:] == ["c01"]


def test_a_share_begins_with_its_own_and_then_helps(tmp_path):
    dataset = make_dataset(tmp_path)
    assert work(dataset, shard=(1, 2)) == 4
    assert calls(dataset) == ["c01", "c03", "c00", "c02"]


def test_an_unknown_stage_is_named(tmp_path):
    dataset = make_dataset(tmp_path)
    with pytest.raises(ConfigError, match="got 'smudge'"):
        work(dataset, "smudge")


def test_facts_that_json_does_not_hold_are_the_stages_fault(tmp_path, monkeypatch):
    from trial_stages.copies import Copies

    dataset = make_dataset(tmp_path, clips=1, run={"attempts": 1})
    monkeypatch.setattr(Copies, "run", lambda self, job, target: {"bad": {1, 2}})
    work(dataset)
    assert "not JSON serializable" in Chain(dataset).rows("copies")["c00"].error
    assert not list(dataset.glob("objects/*/*"))


def test_an_option_that_cannot_work_ends_the_run_and_is_no_clips_fault(tmp_path, monkeypatch):
    from trial_stages.copies import Copies

    def refuse(self, job, target):
        raise ConfigError("expected a model, got none: name one")

    dataset = make_dataset(tmp_path)
    monkeypatch.setattr(Copies, "run", refuse)
    with pytest.raises(ConfigError, match="name one"):
        work(dataset)
    assert rows(dataset, "copies") == []
    assert not list((dataset / "leases").iterdir())


def test_garbage_of_former_recipes_goes_when_asked_for(tmp_path, monkeypatch):
    from realmaster_live.training.pairs import collect

    monkeypatch.setattr(collect, "PER_CLIP", ())
    dataset = make_dataset(tmp_path, run={"lease_s": 0.001})
    work(dataset)
    make_dataset(dataset, text="print", run={"lease_s": 0.001})
    work(dataset)
    work(dataset, "counts")
    chain = Chain(dataset)
    assert find_garbage(chain).bytes == 0
    found = find_garbage(chain, superseded=True)
    assert found.bytes == 400
    found.remove()
    assert len(Chain(dataset).finished("copies")) == len(Chain(dataset).finished("counts")) == 4
