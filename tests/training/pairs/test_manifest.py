"""The manifest: rows of many processes, merged without a lock."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from trial_dataset import trial_clip

from realmaster_live.errors import PairError
from realmaster_live.jobs.work import DONE, FAILED
from realmaster_live.training.pairs.manifest import (
    Ledger,
    Row,
    append,
    compact,
    read_clips,
    rows,
    stage_folder,
    write_clips,
)


def test_clips_come_back_as_they_were_planned(tmp_path):
    clips = [
        replace(trial_clip("b"), labels=("depth", "instance"), seed=7, truth=True, prompt="rain"),
        trial_clip("a"),
    ]
    write_clips(tmp_path, clips)
    assert read_clips(tmp_path) == clips
    write_clips(tmp_path, clips[1:])
    assert read_clips(tmp_path) == clips[1:]


def test_a_dataset_without_a_plan_says_what_to_run(tmp_path):
    with pytest.raises(PairError, match="realmaster pairs plan"):
        read_clips(tmp_path)


def test_the_newest_row_of_a_key_counts_whichever_file_it_is_in(tmp_path):
    new = Row(clip_id="a", key="k1", status=DONE, facts={"seed": 3}, inputs={"edges": "e"})
    old = Row(clip_id="a", key="k1", status=FAILED, written_s=new.written_s - 5, error="no")
    other = Row(clip_id="b", key="k2")
    append(tmp_path, "gate", [new])
    append(tmp_path, "gate", [old, other])
    assert sorted(rows(tmp_path, "gate"), key=lambda row: row.key) == [new, other]
    assert rows(tmp_path, "edges") == []


def test_compaction_keeps_every_row_while_others_append_and_read(tmp_path):
    keys = [f"k{index}" for index in range(40)]

    def write(key: str) -> None:
        append(tmp_path, "gate", [Row(clip_id=key, key=key)])

    ledger = Ledger(tmp_path, "gate")
    with ThreadPoolExecutor(6) as pool:
        writing = [pool.submit(write, key) for key in keys]
        packing = [pool.submit(compact, tmp_path, "gate", least=4) for _ in range(12)]
        reading = [pool.submit(rows, tmp_path, "gate") for _ in range(12)]
        for future in (*writing, *packing, *reading):
            future.result()
        ledger.refresh()
    compact(tmp_path, "gate", least=2)
    assert {row.key for row in rows(tmp_path, "gate")} == set(keys)
    assert set(ledger.refresh()) == set(keys)
    assert len(list(stage_folder(tmp_path, "gate").iterdir())) == 1


def test_few_part_files_are_left_alone(tmp_path):
    for key in "abc":
        append(tmp_path, "gate", [Row(clip_id=key, key=key)])
    compact(tmp_path, "gate")
    assert len(list(stage_folder(tmp_path, "gate").iterdir())) == 3
