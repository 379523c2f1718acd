import gc
import hashlib
import json

import numpy as np
import pytest
import torch
import webdataset
from footage import write_pair
from safetensors.torch import load, load_file
from tiny_umt5 import save_encoder

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.jobs.worker import Worker
from realmaster_live.model.checkpoint import save_checkpoint
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.profile import TINY
from realmaster_live.model.text_encoder import embed_text
from realmaster_live.model.vae import StreamingAutoencoder
from realmaster_live.system.atomic_files import write_text
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.manifest import Row, append
from realmaster_live.training.pairs.pack import PackConfig, pack
from realmaster_live.training.pairs.plan import PlanConfig, plan
from realmaster_live.training.pairs.recipe import FILE
from realmaster_live.training.pairs.shards import Shards
from realmaster_live.training.pairs.split import SplitConfig, split
from realmaster_live.training.pairs.store import object_path
from realmaster_live.training.pairs.work import StageWork
from realmaster_live.training.recipe_tables import to_toml

SPLIT = SplitConfig(by="seed", duplicate_bits=0)


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    """Clips of four drives, two shapes and three splits, encoded with a tiny model and judged."""
    folder = tmp_path_factory.mktemp("encoded")
    torch.manual_seed(0)
    save_checkpoint(folder / "tiny", StreamingAutoencoder(TINY), InContextTransformer(TINY))
    encoder = save_encoder(folder)
    dataset = folder / "set"
    dataset.mkdir()
    tables = {
        "propagate": {"method": "exact"},
        "encode": {
            "autoencoder": str(folder / "tiny"),
            "text_encoder": str(encoder),
            "text_tokens": 7,
        },
    }
    (dataset / FILE).write_text(to_toml(tables))
    for number, (seed, prompt) in enumerate(
        [(1, "rain"), (2, "snow"), (900, "rain"), (1000, None)]
    ):
        write_pair(folder / "pairs", seed, prompt=prompt, first=21 * number, frames=19)
    long = PlanConfig(frames=9, fps=20.0, size="keep")
    short = PlanConfig(frames=5, fps=20.0, size="keep", most_clips=1)
    plan(
        dataset, long, [folder / "pairs" / f"town{x}.json" for x in ("0001-0-rain", "0002-0-snow")]
    )
    plan(dataset, short, [folder / "pairs" / f"town{x}.json" for x in ("0900-0-rain", "1000-0")])
    split(dataset, SPLIT)
    for stage in ("propagate", "encode"):
        Worker(StageWork(Chain(dataset), stage)).run()
    judge(dataset, lambda clip: {"passed": True, "failed": [], "reasons": [], "weight": 0.5})
    return dataset


def judge(dataset, verdict_of):
    """Write the gate's verdicts."""
    chain = Chain(dataset)
    rows = []
    for clip in chain.clips:
        verdict = json.dumps(verdict_of(clip))
        key = chain.key("gate", clip)
        write_text(object_path(dataset, key, ".json"), verdict)
        rows.append(Row(clip_id=clip.clip_id, key=key))
    append(dataset, "gate", rows)


def bytes_of(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_clip_can_be_read_at_random(encoded):
    report = pack(encoded, PackConfig())
    assert report.clips == {
        ("train", "8x2x4x6"): 4,
        ("val", "8x1x4x6"): 1,
        ("test", "8x1x4x6"): 1,
    }
    assert report.lines()[0].startswith("6 clips in 3 shards")
    shards = Shards(encoded / "shards", verify=True)
    assert len(shards) == 6
    chain = Chain(encoded)
    rows = shards.index.to_pylist()
    for clip in chain.clips:
        place = next(i for i, row in enumerate(rows) if row["clip_id"] == clip.clip_id)
        pair = shards.read(place)
        tensors = load_file(chain.path("encode", clip))
        torch.testing.assert_close(pair.reference, tensors["reference"], atol=0, rtol=0)
        torch.testing.assert_close(pair.target, tensors["target"], atol=0, rtol=0)
        assert (pair.clip_id, pair.prompt) == (clip.clip_id, clip.prompt)
        assert "x".join(map(str, pair.target.shape)) == rows[place]["bucket"]
        assert rows[place]["weight"] == 0.5
    text = {row["prompt"]: shards.read(i).text for i, row in enumerate(rows)}
    encoder = encoded.parent
    expected = embed_text(["rain", ""], encoder=encoder, tokens=7)
    np.testing.assert_array_equal(text["rain"].numpy(), expected[0])
    np.testing.assert_array_equal(shards.empty_text.numpy(), expected[1])
    assert shards.index.schema.metadata[b"autoencoder"] == b"tiny"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_webdataset_package_reads_the_same(encoded):
    pack(encoded, PackConfig())
    shards = Shards(encoded / "shards")
    rows = [row for row in shards.index.to_pylist() if row["split"] == "train"]
    urls = sorted({str(encoded / "shards" / row["shard"]) for row in rows})
    samples = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))
    gc.collect()  # it leaves its files open
    assert [sample["__key__"] for sample in samples] == [row["clip_id"] for row in rows]
    for place, sample in enumerate(samples):
        facts = json.loads(sample["json"])
        assert (facts["split"], facts["prompt"]) == ("train", rows[place]["prompt"])
        latents = load(sample["safetensors"])
        torch.testing.assert_close(latents["target"], shards.read(place).target)


def test_the_same_clips_give_the_same_bytes(encoded):
    pack(encoded, PackConfig())
    before = bytes_of(encoded / "shards")
    pack(encoded, PackConfig(shard_mb=0.001))
    many = bytes_of(encoded / "shards")
    assert len([name for name in many if name.endswith(".tar")]) == 6
    pack(encoded, PackConfig())
    assert bytes_of(encoded / "shards") == before


def test_what_the_gate_rejects_is_left_out_and_counted(encoded):
    def strict(clip):
        passed = clip.prompt != "rain"
        failed = [] if passed else ["edge_f1"]
        reasons = [f"edges agree by 0.2 in {clip.clip_id}"] if failed else []
        return {"passed": passed, "failed": failed, "reasons": reasons, "weight": 1.0}

    judge(encoded, strict)
    report = pack(encoded, PackConfig())
    assert "3 clips left out: rejected by the gate for edge_f1" in report.lines()
    prompts = Shards(encoded / "shards").index["prompt"].to_pylist()
    assert sorted(prompts) == ["as simulated", "snow", "snow"]
    assert sum(pack(encoded, PackConfig(gated=False)).clips.values()) == 6
    fail = {"passed": False, "failed": ["blur"], "reasons": ["blurred"], "weight": 0.0}
    judge(encoded, lambda clip: fail)
    with pytest.raises(PairError, match=r"got none .*6 rejected by the gate for blur"):
        pack(encoded, PackConfig())
    judge(encoded, lambda clip: {"passed": True, "failed": [], "reasons": [], "weight": 1.0})


def test_clips_without_verdict_split_or_latents_are_counted(tmp_path, encoded):
    pairs = encoded.parent / "pairs"
    dataset = tmp_path / "set"
    dataset.mkdir()
    (dataset / FILE).write_text((encoded / FILE).read_text())
    plan(dataset, PlanConfig(frames=9, fps=20.0, size="keep"), [pairs / "town0001-0-rain.json"])
    with pytest.raises(PairError, match="run realmaster pairs split"):
        pack(dataset, PackConfig())
    split(dataset, SPLIT)
    with pytest.raises(PairError, match=r"got none \(2 not encoded\)"):
        pack(dataset, PackConfig())
    for stage in ("propagate", "encode"):
        Worker(StageWork(Chain(dataset), stage)).run()
    with pytest.raises(PairError, match="2 not judged by the gate"):
        pack(dataset, PackConfig())
    plan(dataset, PlanConfig(frames=9, fps=20.0, size="keep"), [pairs / "town0002-0-snow.json"])
    for stage in ("propagate", "encode"):
        Worker(StageWork(Chain(dataset), stage)).run()
    report = pack(dataset, PackConfig(gated=False))
    assert report.left_out == {"in no split: run realmaster pairs split again": 2}


def test_damage_is_reported_and_names_the_shard(encoded):
    pack(encoded, PackConfig())
    folder = encoded / "shards"
    shards = Shards(folder, verify=True)
    row = shards.index.to_pylist()[0]
    path = folder / row["shard"]
    whole = path.read_bytes()
    spoilt = bytearray(whole)
    spoilt[row["offset"] + row["bytes"] - 1] ^= 1
    path.write_bytes(spoilt)
    with pytest.raises(PairError, match=rf"latents of {row['clip_id']} in the shard .*000000\.tar"):
        shards.read(0)
    Shards(folder).read(0)  # a flipped bit alone is not looked for unless asked
    path.write_bytes(whole[: row["offset"] + 100])
    with pytest.raises(PairError, match="pack again"):
        Shards(folder).read(0)
    path.unlink()
    with pytest.raises(PairError, match=r"train-000000\.tar.*no such file"):
        Shards(folder).read(0)
    (folder / "index.parquet").write_bytes(b"PAR1")
    with pytest.raises(PairError, match=r"index\.parquet.*run realmaster pairs pack"):
        Shards(folder)
    chain = Chain(encoded)
    latents = chain.path("encode", chain.clips[0])
    good = latents.read_bytes()
    latents.write_bytes(good[:-1] + b"?")
    with pytest.raises(PairError, match="as it was encoded, got other bytes"):
        pack(encoded, PackConfig())
    assert not (folder / "index.parquet").exists()
    latents.write_bytes(good)


def test_a_shard_has_a_size():
    with pytest.raises(ConfigError, match="above 0, got 0"):
        PackConfig(shard_mb=0)
