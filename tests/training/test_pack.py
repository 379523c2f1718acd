import numpy as np
import pytest

from realmaster_live.errors import PairError
from realmaster_live.training.data import find_clips
from realmaster_live.training.pack import main, unpack
from realmaster_live.training.previews import psnr_bytes


def smooth(folder, name="town0001-0"):
    across, down = np.meshgrid(np.linspace(20, 220, 64), np.linspace(60, 200, 32))
    picture = np.stack((across, down, 0.5 * (across + down)), -1)
    frames = np.stack([picture + 5 * index for index in range(5)]).astype(np.uint8)
    np.save(folder / f"{name}.sim.npy", frames)
    np.save(folder / f"{name}.truth.npy", frames[::-1])
    (folder / f"{name}.json").write_text('{"seed": 1, "prompt": "rain"}')


def test_shards_hold_the_clips(tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    for number in range(3):
        smooth(data, f"town0001-{number}")
    main(["pack", str(data), "--out", str(tmp_path / "shards"), "--shard-mb", "0.001"])
    shards = sorted((tmp_path / "shards").iterdir())
    assert [shard.name for shard in shards] == [f"pairs-{k:04d}.tar" for k in range(3)]
    main(["unpack", *map(str, shards), "--out", str(tmp_path / "again")])
    assert "1 clips" in capsys.readouterr().out
    before, after = (find_clips(folder, "training") for folder in (data, tmp_path / "again"))
    assert [clip.name for clip in before] == [clip.name for clip in after]
    for one, two in zip(before, after, strict=True):
        assert one.facts == two.facts
        assert psnr_bytes(one.sim, two.sim) > 38
        assert psnr_bytes(one.truth, two.truth) > 38


def test_damaged_shards_are_refused(tmp_path):
    smooth(tmp_path)
    main(["pack", str(tmp_path), "--out", str(tmp_path)])
    shard = tmp_path / "pairs-0000.tar"
    shard.write_bytes(shard.read_bytes()[:700])
    with pytest.raises(PairError, match="shard of clips"):
        unpack(shard, tmp_path / "again")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(PairError, match="finished clips"):
        main(["pack", str(tmp_path), "--out", str(tmp_path)])
