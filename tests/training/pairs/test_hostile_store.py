"""A pair store that somebody hands over: what its files name is checked before it is opened."""

import json
import os

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from trial_dataset import make_dataset, worker

from realmaster_live.cli import main
from realmaster_live.errors import PairError
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.collect import find_garbage
from realmaster_live.training.pairs.manifest import (
    CLIPS,
    Row,
    append,
    read_clips,
    rows,
    stage_folder,
)
from realmaster_live.training.pairs.shards import INDEX, INDEX_SCHEMA, Shards
from realmaster_live.training.pairs.store import object_path
from realmaster_live.training.pairs.verdicts import read_verdict

DEEP = "[" * 100_000 + "]" * 100_000


def one_sentence(capsys) -> str:
    error = capsys.readouterr().err
    assert error.startswith("realmaster: error: expected ")
    assert error.count("\n") == 1, error
    return error


@pytest.mark.parametrize(
    "change",
    [
        {"clip_id": "../../../home/me/.ssh/id"},
        {"clip_id": "/etc/passwd"},
        {"clip_id": None},
        {"frames": 10**12},
        {"frames": -1},
        {"stride": 0},
        {"width": 2**31},
        {"fps": float("nan")},
        {"fps": float("inf")},
        {"first": -5},
        {"source": None},
    ],
)
def test_a_plan_with_values_that_no_clip_has_is_refused(change, tmp_path, capsys):
    dataset = make_dataset(tmp_path)
    path = dataset / "manifest" / "clips.parquet"
    table = parquet.read_table(path).to_pylist()
    table[1] |= change
    parquet.write_table(pa.Table.from_pylist(table, schema=CLIPS), path)
    assert main(["pairs", "work", str(dataset), "--stage", "copies"]) == 1
    assert "run realmaster pairs plan" in one_sentence(capsys)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"\x00" * 5000, b"{}"])
def test_a_plan_that_is_no_parquet_is_one_sentence(content, tmp_path, capsys):
    dataset = make_dataset(tmp_path)
    (dataset / "manifest" / "clips.parquet").write_bytes(content)
    assert main(["pairs", "status", str(dataset)]) == 1
    assert "clips.parquet" in one_sentence(capsys)


def test_a_plan_with_columns_of_other_types_is_one_sentence(tmp_path):
    dataset = make_dataset(tmp_path)
    path = dataset / "manifest" / "clips.parquet"
    parquet.write_table(pa.table({"clip_id": ["a"], "frames": [[1, 2]]}), path)
    with pytest.raises(PairError, match="expected a table of clip_id"):
        read_clips(dataset)
    parquet.write_table(pa.table({"clip_id": ["a"]}), path)
    with pytest.raises(PairError, match="expected clips in"):
        read_clips(dataset)


@pytest.mark.parametrize(
    "columns",
    [
        {"facts": DEEP},
        {"facts": "[1]"},
        {"inputs": '{"edges": 7}'},
        {"inputs": "{"},
        {"status": "finished"},
    ],
)
def test_rows_that_cannot_be_read_are_no_empty_manifest(columns, tmp_path):
    dataset = make_dataset(tmp_path)
    worker(dataset).run()
    path = next(stage_folder(dataset, "copies").iterdir())
    table = parquet.read_table(path, partitioning=None).to_pylist()
    table[0] |= columns
    parquet.write_table(pa.Table.from_pylist(table, schema=None), path)
    with pytest.raises(PairError, match=f"expected rows in {path}"):
        rows(dataset, "copies")
    path.write_bytes(b"cut")
    for look in (lambda: rows(dataset, "copies"), lambda: find_garbage(Chain(dataset))):
        with pytest.raises(PairError, match="move the file away"):
            look()
    assert len(list(dataset.glob("objects/*/*"))) == 4


def test_fifos_and_links_to_devices_are_not_waited_for(tmp_path):
    dataset = make_dataset(tmp_path)
    os.mkfifo(dataset / "pipe")
    for link, target in (("clips.parquet", "pipe"), ("split.parquet", "/dev/zero")):
        path = dataset / "manifest" / link
        path.unlink(missing_ok=True)
        path.symlink_to(dataset / target)
    with pytest.raises(PairError, match="got a FIFO"):
        read_clips(dataset)


@pytest.mark.parametrize("key", ["../../../etc/passwd", "", "ab", "A" * 64, "0" * 63 + "/"])
def test_a_key_that_is_no_hash_names_no_file(key, tmp_path):
    with pytest.raises(PairError, match="a sha256"):
        object_path(tmp_path, key, ".png")


@pytest.mark.parametrize(
    "text", ["{}", DEEP, "[]", '{"passed": "yes"}', '{"passed": true, "failed": 1}', "\xff"]
)
def test_a_verdict_of_other_content_is_one_sentence(text, tmp_path):
    (tmp_path / "verdict.json").write_text(text, encoding="latin-1")
    with pytest.raises(PairError, match=r"expected a verdict in .*run the stage gate again"):
        read_verdict(tmp_path / "verdict.json")


@pytest.mark.parametrize(
    "shard", ["../secret.tar", "/etc/passwd", "link.tar", "pipe.tar", "16x1x2x2/../../secret.tar"]
)
def test_shards_outside_the_folder_are_not_read(shard, tmp_path):
    folder = tmp_path / "shards"
    folder.mkdir()
    (tmp_path / "secret.tar").write_bytes(b"secret")
    (folder / "link.tar").symlink_to(tmp_path / "secret.tar")
    os.mkfifo(folder / "pipe.tar")
    row = dict.fromkeys(("clip_id", "split", "bucket", "prompt", "text_key", "sha256"), "")
    row |= {"shard": shard, "offset": 0, "bytes": 10**15, "weight": 1.0}
    parquet.write_table(pa.Table.from_pylist([row], schema=INDEX_SCHEMA), folder / INDEX)
    with pytest.raises(PairError) as caught:
        Shards(folder).read(0)
    assert "secret" not in str(caught.value).removeprefix("expected").replace("secret.tar", "")


def test_nothing_goes_where_the_manifest_was_lost(tmp_path):
    dataset = make_dataset(tmp_path, run={"lease_s": 0.001})
    worker(dataset).run()
    for path in stage_folder(dataset, "copies").iterdir():
        path.unlink()
    with pytest.raises(PairError, match=r"beside 4 objects, got none.*nothing was removed"):
        find_garbage(Chain(dataset))


def test_only_files_of_our_own_names_are_garbage(tmp_path):
    dataset = make_dataset(tmp_path, run={"lease_s": 0.001})
    worker(dataset).run()
    kept = [
        dataset / "objects" / "notes" / "thesis.txt",
        dataset / ".my.part",
        dataset / "manifest" / ".draft.partial.txt",
    ]
    unfinished = dataset / "objects" / "notes" / f".{'a' * 64}.0123456789ab.part.png"
    for path in (*kept, unfinished):
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
        os.utime(path, (0, 0))
    find_garbage(Chain(dataset)).remove()
    assert all(path.exists() for path in kept)
    assert not unfinished.exists()


def test_what_a_dead_worker_left_of_a_file_that_was_made_since_is_garbage(tmp_path):
    dataset = make_dataset(tmp_path)
    worker(dataset).run()
    made = Chain(dataset).finished("copies")["c01"]
    left = made.with_name(f".{made.stem}.0123456789ab.part.txt")
    left.write_text("half")
    os.utime(left, (0, 0))
    assert find_garbage(Chain(dataset)).parts == (left,)


def test_facts_of_a_row_are_checked_before_they_name_a_shard(tmp_path):
    from realmaster_live.training.pairs.pack import Entry

    dataset = make_dataset(tmp_path, clips=1)
    (clip,) = read_clips(dataset)
    for shape in (None, ["..", "x"], [1.5], "16x1", [True]):
        row = Row(clip_id=clip.clip_id, key="0" * 64, facts={"shape": shape})
        entry = Entry(clip=clip, row=row, path=tmp_path, split="train", weight=1.0)
        with pytest.raises(PairError, match="expected the shape of the latents"):
            _ = entry.bucket
    append(dataset, "encode", [Row(clip_id="c00", key="0" * 64, facts=json.loads("{}"))])
    assert len(rows(dataset, "encode")) == 1
