import cv2
import numpy as np
import pyarrow.parquet
import pytest
from footage import write_film, write_pair

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.training.pairs.manifest import write_clips
from realmaster_live.training.pairs.perceptual import near, phash
from realmaster_live.training.pairs.plan import PlanConfig, plan
from realmaster_live.training.pairs.split import SplitConfig, read_split, split, split_of
from realmaster_live.training.pairs.stage import Clip

SMALL = PlanConfig(frames=5, fps=20.0, size="keep")


def scene(seed, width=96, height=64):
    """A picture that looks like no other seed's."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def write_scene(folder, name, seed, *, brighter=0, frames=5):
    folder.mkdir(exist_ok=True)
    shots = folder / name
    shots.mkdir()
    for index in range(frames):
        picture = np.roll(scene(seed), 3 * index, axis=1)
        cv2.imwrite(str(shots / f"{index}.png"), cv2.add(picture, np.full(4, brighter, float)))
    return shots


def dataset_of(tmp_path, towns):
    """A dataset of a clip a town; towns: name -> seed of what is seen, and a change of light."""
    for town, (seed, brighter) in towns.items():
        shots = write_scene(tmp_path / "shots", town, seed, brighter=brighter)
        (shots / "about.json").write_text(f'{{"town": "{town}"}}')
    plan(tmp_path / "set", SMALL, [tmp_path / "shots"])
    return tmp_path / "set"


def clip(number, town, **fields):
    return Clip(
        clip_id=f"clip{number}", source="", kind="images", first=0, frames=5, fps=20.0, width=96,
        height=64, town=town, sha256=str(number), **fields,
    )  # fmt: skip


def test_shares_are_kept_and_groups_stay_when_clips_are_added():
    config = SplitConfig(by="town", val_share=0.2, test_share=0.1)
    splits = {f"Town{n}": split_of(f"Town{n}", config) for n in range(2000)}
    counts = {name: list(splits.values()).count(name) / 2000 for name in ("train", "val", "test")}
    assert counts["val"] == pytest.approx(0.2, abs=0.03)
    assert counts["test"] == pytest.approx(0.1, abs=0.03)
    other = SplitConfig(by="town", val_share=0.2, test_share=0.1, salt="again")
    assert {group: split_of(group, other) for group in splits} != splits
    wider = SplitConfig(by="town", val_share=0.3, test_share=0.1)
    assert all(split_of(t, wider) == "test" for t, name in splits.items() if name == "test")


def test_no_group_is_in_two_splits(tmp_path):
    dataset = dataset_of(tmp_path, {f"Town{n}": (n, 0) for n in range(6)})
    config = SplitConfig(by="town", val=("Town2",), test=("Town4",), val_share=0, test_share=0)
    report = split(dataset, config)
    rows = pyarrow.parquet.read_table(dataset / "manifest" / "split.parquet").to_pylist()
    assert {row["group"]: row["split"] for row in rows} == {
        **{f"Town{n}": "train" for n in (0, 1, 3, 5)},
        "Town2": "val",
        "Town4": "test",
    }
    assert read_split(dataset) == {row["clip_id"]: row["split"] for row in rows}
    assert report.lines() == [
        "by town: train 4 clips of 4, val 1 clips of 1, test 1 clips of 1; none is in two splits"
    ]


def test_the_embedded_towns_are_split_by_seed(tmp_path):
    for number, seed in enumerate((3, 899, 900, 999, 1000)):
        write_pair(tmp_path / "pairs", seed, frames=5, first=9 * number)
    plan(tmp_path / "set", SMALL, [tmp_path / "pairs"])
    split(tmp_path / "set", SplitConfig(by="seed", duplicate_bits=0))
    assert sorted(read_split(tmp_path / "set").values()) == ["test", "train", "train", "val", "val"]


def test_near_duplicates_across_splits_are_reported_moved_or_refused(tmp_path):
    towns = {"Here": (1, 0), "There": (1, 25), "Elsewhere": (2, 0)}
    dataset = dataset_of(tmp_path, towns)
    named = {"by": "town", "val_share": 0.0, "test_share": 0.0, "test": ("There",)}
    report = split(dataset, SplitConfig(**named))
    assert [(d.first[:4], d.second[:5], d.splits) for d in report.duplicates] == [
        ("Here", "There", ("train", "test"))
    ]
    assert any("looks like There" in line for line in report.lines())
    with pytest.raises(PairError, match=r"near-duplicates across splits, got 1, such as Here"):
        split(dataset, SplitConfig(**named, duplicates="fail"))
    moved = split(dataset, SplitConfig(**named, duplicates="move"))
    assert moved.moved == ("Here",)
    splits = {name[:4]: value for name, value in read_split(dataset).items()}
    assert splits == {"Here": "test", "Ther": "test", "Else": "train"}
    pulled = {**named, "train": ("Here",)}
    with pytest.raises(PairError, match="in different splits, got Here, There"):
        split(dataset, SplitConfig(**pulled, duplicates="move"))


def test_a_route_in_two_weathers_is_reported(tmp_path):
    dataset = tmp_path / "set"
    for number, prompt in enumerate(("rain", "snow")):
        write_pair(tmp_path / "pairs", 5, prompt=prompt, frames=5, first=20 * number)
    plan(dataset, SMALL, [tmp_path / "pairs"])
    config = SplitConfig(by="weather", train=("rain",), test=("snow",), duplicate_bits=0)
    report = split(dataset, config)
    assert report.shared_routes == 1
    assert "no weather is in val" in "\n".join(report.lines())


def test_hashes_are_kept_with_the_clips(tmp_path):
    film = write_film(tmp_path / "film.mp4")
    plan(tmp_path / "set", SMALL, [film])
    first = split(tmp_path / "set", SplitConfig())
    film.unlink()
    assert split(tmp_path / "set", SplitConfig()) == first


def test_clips_without_such_a_group_are_refused(tmp_path):
    write_clips(tmp_path, [clip(0, "Town1"), clip(1, "")])
    with pytest.raises(PairError, match="got none for 1 of 2"):
        split(tmp_path, SplitConfig(by="town"))
    with pytest.raises(PairError, match="split"):
        read_split(tmp_path)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"val_share": 0.7, "test_share": 0.4}, "expected shares from 0 to 1"),
        ({"val": ("Town1",), "test": ("Town1",)}, "got Town1 more than once"),
    ],
)
def test_contradictions_are_refused(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        SplitConfig(**options)


def test_a_hash_survives_what_keeps_a_picture_the_same():
    pictures = [scene(seed, 512, 288) for seed in range(40)]
    hashes = np.array([[phash(picture)] for picture in pictures])
    assert len(near(hashes, 6)) == 0
    for picture, (before,) in zip(pictures[:8], hashes, strict=False):
        _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 40])
        changed = [
            cv2.imdecode(jpeg, cv2.IMREAD_COLOR),
            cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
            (picture * 0.8 + 10).astype(np.uint8),
        ]
        for other in changed:
            assert np.bitwise_count(phash(other) ^ before) <= 6


def test_near_compares_frame_by_frame():
    hashes = np.array([[0b0, 0b111], [0b1, 0b110], [0b1, 0b0], [0b0, 0b111]], np.uint64)
    assert near(hashes, 0).tolist() == [[0, 3]]
    assert near(hashes, 1).tolist() == [[0, 1], [0, 3], [1, 3]]
    assert near(hashes, 2).tolist() == [[0, 1], [0, 3], [1, 2], [1, 3]]
