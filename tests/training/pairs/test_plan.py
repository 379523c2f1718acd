import json
from dataclasses import replace

import av
import numpy as np
import pyarrow.parquet
import pytest
from footage import write_film, write_pair, write_pictures, write_recording
from street import SIZE, make_chunk

from realmaster_live import ChunkSpec
from realmaster_live.errors import ConfigError, PairError
from realmaster_live.recording import About, Recorder, Recording
from realmaster_live.training.pairs.manifest import read_clips
from realmaster_live.training.pairs.plan import PlanConfig, plan
from realmaster_live.training.pairs.sources import read_frames

SMALL = PlanConfig(frames=9, fps=20.0, size="keep")


def reasons(dataset):
    rows = pyarrow.parquet.read_table(dataset / "manifest" / "left_out.parquet").to_pylist()
    return [(row["first"], row["frames"], row["reason"]) for row in rows]


def test_a_recording_becomes_clips(tmp_path):
    drive = write_recording(
        tmp_path / "drive-03", weather={"precipitation": 80.0, "sun_altitude_angle": -5.0}
    )
    report = plan(tmp_path / "set", SMALL, [drive])
    first, second = read_clips(tmp_path / "set")
    assert report.clips == (first, second)
    assert (first.kind, first.source) == ("recording", str(drive))
    assert (first.first, second.first) == (0, 9)
    assert (first.frames, first.stride, first.fps) == (9, 1, pytest.approx(20.0))
    assert (first.width, first.height) == SIZE
    assert (first.town, first.route, first.seed) == ("Town05", "drive-03", 7)
    assert first.weather == "night rain"
    assert set(first.labels) == {"depth", "semantic", "instance", "flow"}
    assert not first.truth
    assert first.clip_id == f"drive-03-000000-{first.sha256[:8]}"
    assert reasons(tmp_path / "set") == [(18, 6, "too few for another clip of 9")]
    assert "6 frames of drive-03 left out: too few for another clip of 9" in report.lines()


def test_clips_never_cross_a_gap(tmp_path):
    drive = write_recording(tmp_path / "drive", chunks=8, gaps={3: 3, 4: 1})
    report = plan(tmp_path / "set", SMALL, [drive])
    assert [clip.first for clip in report.clips] == [0, 16]
    assert reasons(tmp_path / "set") == [
        (9, 3, "a gap of 3 frames at 12"),
        (12, 4, "a gap of 1 frames at 16"),
        (25, 7, "too few for another clip of 9"),
    ]
    assert "3 frames of drive left out: a gap of 3 frames at 12" in report.lines()


def test_sizes_are_never_mixed_and_damaged_pictures_end_a_run(tmp_path):
    folder = write_pictures(tmp_path / "shots", [SIZE] * 12 + [(128, 96)] * 12)
    (folder / "frame4.png").write_bytes(b"not a picture")
    report = plan(tmp_path / "set", PlanConfig(frames=5, fps=20.0, size="keep"), [folder])
    assert [(c.first, c.width, c.height) for c in report.clips] == [
        (5, *SIZE),
        (12, 128, 96),
        (17, 128, 96),
    ]
    assert reasons(tmp_path / "set") == [
        (4, 1, "the picture frame4.png is damaged"),
        (0, 4, "the picture frame4.png is damaged"),
        (10, 2, "another size, 128x96, at 12"),
        (22, 2, "too few for another clip of 5"),
    ]
    assert read_frames(report.clips[0]).shape == (5, 64, 96, 3)


def test_sources_without_the_needed_labels_are_left_out(tmp_path):
    bare = write_recording(tmp_path / "bare", labels=("depth",))
    full = write_recording(tmp_path / "full")
    config = PlanConfig(frames=9, fps=20.0, size="keep", need_labels=("depth", "instance"))
    with pytest.raises(PairError, match="no label instance"):
        plan(tmp_path / "set", config, [bare])
    full_frames = plan(tmp_path / "set", config, [bare, full])
    assert {clip.route for clip in full_frames.clips} == {"full"}
    assert (0, 0, "it has no label instance") in reasons(tmp_path / "set")


def test_one_bad_source_never_stops_the_others(tmp_path):
    footage = tmp_path / "footage"
    footage.mkdir()
    write_film(footage / "good.mp4")
    cut = write_film(footage / "cut.mp4").read_bytes()
    (footage / "cut.mp4").write_bytes(cut[: len(cut) // 2])
    broken = write_recording(footage / "broken")
    film = broken / "segments" / "000000" / "front" / "sim.mp4"
    sim = bytearray(film.read_bytes())
    sim[len(sim) // 2] ^= 255
    film.write_bytes(sim)
    write_pair(footage / "pairs", 3)
    write_pair(footage / "pairs", 4).unlink()
    write_pair(footage / "pairs", 5).write_text('{"number": 1}')
    report = plan(tmp_path / "set", SMALL, [footage, tmp_path / "nowhere"])
    assert {clip.kind for clip in report.clips} == {"video", "pairs"}
    text = "\n".join(report.lines())
    assert "cut.mp4 left out: expected a playable video" in text
    assert "broken left out: expected" in text
    assert "town0004-0.json left out: expected" in text
    assert "town0005-0.json left out: expected the description of a pair with its seed" in text
    assert "nowhere left out: expected recordings, pairs, videos, pictures" in text


def test_a_video_damaged_in_the_middle_loses_only_the_clips_there(tmp_path):
    film = write_film(tmp_path / "film.mp4", frames=80)
    with av.open(film) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    at = sorted(packets, key=lambda packet: packet.pts)[38].pos  # the key frame before is 36
    data = bytearray(film.read_bytes())
    data[at + 8 : at + 60] = bytes(52)
    film.write_bytes(data)
    report = plan(tmp_path / "set", SMALL, [film])
    assert [clip.first for clip in report.clips] == [0, 9, 18, 54, 63]
    lost = [entry for entry in report.left_out if "playable" in entry.reason]
    assert [(entry.first, entry.frames) for entry in lost] == [(27, 9), (36, 9), (45, 9)]


def test_a_video_that_ends_early_is_reported(tmp_path):
    film = write_film(tmp_path / "film.mkv", frames=60)
    film.write_bytes(film.read_bytes()[:2600])
    report = plan(tmp_path / "set", SMALL, [film])
    assert report.clips
    lost = [
        entry for entry in report.left_out if entry.reason == "the file is damaged or cut short"
    ]
    assert lost[0].first + lost[0].frames == 60


def test_the_stride_follows_from_the_rates(tmp_path):
    film = write_film(tmp_path / "film.mp4", frames=40, fps=30)
    report = plan(tmp_path / "set", PlanConfig(frames=9, fps=16.0, size="keep"), [film])
    assert [(clip.stride, clip.fps, clip.first) for clip in report.clips] == [
        (2, 15.0, 0),
        (2, 15.0, 18),
    ]
    assert "2 clips are at 15 fps, the nearest to 16 that their sources allow" in report.lines()
    with pytest.raises(PairError, match="30 frames a second are fewer than the wanted 60"):
        plan(tmp_path / "none", PlanConfig(frames=9, fps=60.0, size="keep"), [film])
    assert not (tmp_path / "none").exists()


def test_pairs_keep_seed_prompt_and_truth(tmp_path):
    write_pair(tmp_path / "pairs", 12)
    write_pair(tmp_path / "pairs", 12, prompt="rain")
    report = plan(tmp_path / "set", SMALL, [tmp_path / "pairs"])
    assert [
        (c.town, c.route, c.weather, c.seed, c.prompt, c.truth)
        for c in read_clips(tmp_path / "set")
    ] == [
        ("minitown-12", "0", "rain", 12, "rain", True),
        ("minitown-12", "0", "overcast", 12, "as simulated", True),
    ]
    assert len({clip.clip_id for clip in report.clips}) == 2


def test_planning_more_adds_and_never_renames(tmp_path):
    dataset = tmp_path / "set"
    first = write_film(tmp_path / "first.mp4")
    second = write_film(tmp_path / "second.mp4", first=40)
    plan(dataset, SMALL, [first])
    before = read_clips(dataset)
    report = plan(dataset, SMALL, [second])
    assert read_clips(dataset)[: len(before)] == before
    assert (report.new, report.replaced) == (3, 0)
    again = plan(dataset, SMALL, [first, second])
    assert (again.new, again.replaced) == (0, 0)
    assert len(read_clips(dataset)) == 6
    shorter = plan(dataset, PlanConfig(frames=5, fps=20.0, size="keep"), [first])
    assert (shorter.new, shorter.replaced) == (6, 3)
    assert {clip.frames for clip in read_clips(dataset) if clip.source == str(first)} == {5}
    assert len(reasons(dataset)) == 1  # second's; nothing is left of first


def test_a_source_that_moved_keeps_its_clips_names(tmp_path):
    film = write_film(tmp_path / "film.mp4")
    before = plan(tmp_path / "set", SMALL, [film]).clips
    (tmp_path / "attic").mkdir()
    moved = film.rename(tmp_path / "attic" / "film.mp4")
    report = plan(tmp_path / "set", SMALL, [moved])
    assert [c.clip_id for c in report.clips] == [c.clip_id for c in before]
    assert {clip.source for clip in read_clips(tmp_path / "set")} == {str(moved)}


def test_the_same_frames_are_planned_once(tmp_path):
    film = write_film(tmp_path / "film.mp4")
    (tmp_path / "copy.mp4").write_bytes(film.read_bytes())
    plan(tmp_path / "set", SMALL, [film])
    with pytest.raises(PairError, match="the same frames as film-000000"):
        plan(tmp_path / "set", SMALL, [tmp_path / "copy.mp4"])


def test_still_clips_can_be_left_out(tmp_path):
    standing = write_recording(tmp_path / "standing", standing=True)
    driving = write_recording(tmp_path / "driving", chunks=7)
    config = PlanConfig(frames=9, fps=20.0, size="keep", most_still=0.9)
    report = plan(tmp_path / "set", config, [standing, driving])
    assert {clip.route for clip in report.clips} == {"driving"}
    assert any("nothing moves in 100% of its frames" in line for line in report.lines())

    everything = plan(tmp_path / "all", SMALL, [standing, driving])
    assert "2 clips hardly move: most_still = 0.8 leaves them out" in everything.lines()


def test_cameras_of_one_drive_share_its_route(tmp_path):
    drive = write_recording(tmp_path / "drive-07" / "front")
    assert plan(tmp_path / "set", SMALL, [drive]).clips[0].route == "drive-07"


def test_at_most_so_many_clips_of_a_source_spread_over_it(tmp_path):
    film = write_film(tmp_path / "film.mp4", frames=60)
    config = PlanConfig(frames=5, fps=20.0, size="keep", most_clips=3)
    report = plan(tmp_path / "set", config, [film])
    assert [clip.first for clip in report.clips] == [0, 20, 40]
    assert sum(entry.frames for entry in report.left_out) == 45


def test_clips_may_overlap(tmp_path):
    film = write_film(tmp_path / "film.mp4", frames=21)
    config = PlanConfig(frames=9, fps=20.0, size="keep", overlap=5)
    clips = plan(tmp_path / "set", config, [film]).clips
    assert [clip.first for clip in clips] == [0, 4, 8, 12]
    np.testing.assert_array_equal(read_frames(clips[0])[4:], read_frames(clips[1])[:5])


def test_a_dry_run_writes_nothing(tmp_path):
    film = write_film(tmp_path / "film.mp4")
    report = plan(tmp_path / "set", SMALL, [film], dry_run=True)
    assert len(report.clips) == 3
    assert "nothing written" in report.lines()[1]
    assert not (tmp_path / "set").exists()


def test_words_beside_a_video_say_where_it_was(tmp_path):
    film = write_film(tmp_path / "film.mp4")
    film.with_suffix(".json").write_text(
        json.dumps({"town": "Los Santos", "weather": "fog", "licence": "CC-BY-4.0", "seed": 3})
    )
    clip = plan(tmp_path / "set", SMALL, [film]).clips[0]
    facts = (clip.town, clip.weather, clip.licence, clip.seed, clip.route)
    assert facts == ("Los Santos", "fog", "CC-BY-4.0", 3, "film")
    film.with_suffix(".json").write_text("[1")
    with pytest.raises(PairError, match=r"JSON object .* in .*film\.json"):
        plan(tmp_path / "set", SMALL, [film])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"frames": 82}, "got 82: the nearest is 81"),
        ({"frames": 84}, "got 84: the nearest is 85"),
        ({"frames": 1}, "got 1: the nearest is 5"),
        ({"size": "830x480"}, "got '830x480': the nearest is 832x480"),
        ({"size": "big"}, "got 'big': write 832x480"),
        ({"frames": 9, "overlap": 9}, "from 0 to 8 frames, got 9"),
        ({"fps": 0.0}, "expected positive fps"),
    ],
)
def test_what_no_clip_can_have_is_refused(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        PlanConfig(**options)


def test_each_camera_of_a_rig_becomes_clips_of_its_own(tmp_path):
    folder = tmp_path / "drive-08"
    spec = ChunkSpec(frames=4, width=96, height=64, fps=20)
    with Recorder(folder, spec, about=About(town="Town05"), segment_s=0.5) as recorder:
        for index in range(6):
            for camera, size in {"front": (96, 64), "rear": (64, 48)}.items():
                recorder.write(replace(make_chunk(index, size=size), camera=camera))
    report = plan(tmp_path / "set", SMALL, [folder])
    assert {clip.source for clip in report.clips} == {
        str(folder / "front"),
        str(folder / "rear"),
    }
    assert {(clip.town, clip.route) for clip in report.clips} == {("Town05", "drive-08")}
    played = [frame.image for frame in Recording(folder, cameras=["rear"]).frames()]
    rear = [clip for clip in report.clips if clip.source.endswith("rear")]
    for clip in rear:
        expected = np.stack(played[clip.first : clip.first + clip.frames])
        np.testing.assert_array_equal(read_frames(clip), expected)
    again = plan(tmp_path / "set", SMALL, [write_recording(tmp_path / "other")])
    assert set(rear) <= set(read_clips(tmp_path / "set"))
    assert again.new
