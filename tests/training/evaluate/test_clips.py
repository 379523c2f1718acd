import json

import numpy as np
import pytest

from realmaster_live.errors import PairError
from realmaster_live.training.evaluate.clips import gather, look_of, unpacked
from realmaster_live.training.pack import pack


def write(folder, name, seed, value, **facts):
    folder.mkdir(exist_ok=True)
    frames = np.full((4, 32, 32, 3), value, np.uint8)
    np.save(folder / f"{name}.sim.npy", frames)
    np.save(folder / f"{name}.truth.npy", frames)
    (folder / f"{name}.json").write_text(json.dumps({"seed": seed} | facts))


def test_folders_add_up_and_the_first_of_one_clip_counts(tmp_path):
    write(tmp_path / "a", "one", 1000, 10, look="A", lights=[])
    write(tmp_path / "old", "one", 1000, 20)
    write(tmp_path / "b", "one", 1000, 30, look="B")
    write(tmp_path / "old", "two", 1001, 40)
    write(tmp_path / "old", "three", 3, 50)
    found = gather([tmp_path / name for name in ("a", "b", "old")], "held out")
    assert [(clip.name, look_of(clip), int(clip.sim[0, 0, 0, 0])) for clip in found] == [
        ("one", "A", 10),
        ("one", "B", 30),
        ("two", "A", 40),
    ]
    with pytest.raises(PairError, match=r"validation.*got none"):
        gather([tmp_path / "a"], "validation")


def test_shards_are_unpacked_for_the_time_being(tmp_path):
    write(tmp_path / "a", "one", 1000, 10, look="B")
    (shard,) = pack(tmp_path / "a", tmp_path / "shards", shard_mb=1)
    with unpacked([shard, tmp_path / "a"]) as folders:
        assert folders[1] == tmp_path / "a"
        (clip,) = gather(folders[:1], "held out")
        assert look_of(clip) == "B" and clip.sim.shape == (4, 32, 32, 3)
    assert not folders[0].exists()
