import pytest
import torch
from latent_clips import make_clips, write_shards

from realmaster_live.errors import PairError
from realmaster_live.training.iclora.data import open_data


def test_shards_are_opened_by_split_and_hashed(tmp_path):
    training, validation = make_clips(3, seed=1, prompts=("rain",)), make_clips(2, seed=2)
    write_shards(tmp_path / "shards", {"train": training, "val": validation, "test": validation})
    data = open_data(tmp_path)
    assert data.training.shapes == training.shapes
    assert data.training.weights == [1.0] * 3
    for split, clips in ((data.training, training), (data.validation, validation)):
        for index, clip in enumerate(clips.clips):
            pair = split.read(index)
            assert torch.equal(pair.target, clip.target.half())
            assert torch.equal(pair.reference, clip.reference.half())
            assert (pair.prompt, pair.text) == (clip.prompt, None)
    assert data.empty_text is None
    assert open_data(tmp_path / "shards").sha256 == data.sha256
    write_shards(tmp_path / "other", {"train": validation})
    other = open_data(tmp_path / "other")
    assert other.sha256 != data.sha256
    assert other.validation is None


def test_a_folder_without_shards_is_reported(tmp_path):
    with pytest.raises(PairError, match="realmaster pairs pack"):
        open_data(tmp_path)
