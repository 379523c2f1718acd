"""What the page is answered: timelines, pictures, marks, roads and commands of exports."""

import json
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import pytest
from driven_scene import SIZE, realized
from waiting import until

from realmaster_live import Recording
from realmaster_live.cli import main
from realmaster_live.datasets.view.page import DatasetView
from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.sinks.viewer.mosaic import STRIP_PX

SEGMENT = "segments/000001"
FIRST = 1000  # frame number of the drawn drives


def mosaic(client, path):
    status, content = client.get(path)
    assert status == 200, content
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    return image[..., ::-1].astype(int)


def checked(client):
    """Return what is damaged once all files were compared."""
    found = until(lambda: (now := client.json("/damaged.json"))["checked"] and now)
    return found["damaged"]


def test_the_timeline_is_that_of_the_recording(client):
    listed = client.json("/drives.json")
    assert [one["name"] for one in listed["drives"]] == ["one", "two"]
    assert "coco" in listed["formats"]
    facts = client.json("/drives/0/timeline.json")
    assert facts["ticks"] == 12 and facts["numbers"] == list(range(FIRST, FIRST + 12))
    assert [(one["first"], one["count"]) for one in facts["segments"]] == [(0, 4), (4, 4), (8, 4)]
    assert facts["trust"] == [0.9] * 4 + [0.3] * 4 + [0.8] * 4
    assert facts["towns"] == {"Town01": [[0, 12]]}
    rain = [name for name in facts["weathers"] if "rain" in name.lower()]
    assert len(rain) == 1 and facts["weathers"][rain[0]] == [[4, 8]]
    assert facts["classes"]["car"] == [[0, 12]] and "sky" not in facts["classes"]
    front, back = facts["cameras"]
    assert front["layers"] == ["classes", "instances", "depth", "trust"]
    assert (front["name"], back["name"]) == ("front", "back") and front["realized"]
    assert facts["speeds"][5] == pytest.approx(8.0, abs=0.05)
    x, y, yaw = facts["track"][10]
    assert (x, y) == (pytest.approx(4.0, abs=0.01), pytest.approx(0.05, abs=0.01))
    assert yaw == pytest.approx(np.radians(1.0), abs=0.01)


def test_a_tick_is_one_picture_of_all_that_is_shown(client, drives):
    width, height = SIZE
    image = mosaic(client, "/drives/0/ticks/6.jpg?camera=front&camera=back&layer=trust")
    assert image.shape == (2 * height + STRIP_PX, 3 * width, 3)
    with Recording(drives[0]) as recording:
        sample = recording[12]  # both cameras at six ticks before it
        assert (sample.frame_id, sample.frame.camera) == (FIRST + 6, "front")
    render, real = image[:height, :width], image[:height, width : 2 * width]
    assert abs(render - sample.image).mean() < 6
    assert abs(real - realized(sample.image)).mean() < 6
    trust = image[:height, 2 * width :]
    assert (trust[..., 0].mean(), trust[..., 2].mean()) == (
        pytest.approx(240, abs=8),
        pytest.approx(60, abs=8),
    )


def test_marks_are_where_the_things_are(client, drives):
    width, height = SIZE
    found = client.json("/drives/0/ticks/2.json?camera=front&kind=boxes&kind=space&kind=lanes")
    marks, facts = found["front"]["marks"], found["front"]["facts"]
    assert facts["trust"]["score"] == 0.9 and facts["things"] > 3
    with Recording(drives[0]) as recording:
        sample = recording[4]
    car = next(one for one in sample.annotations if one.mask_id == 111)
    boxes = [one for one in marks if "box" in one]
    shares = np.array(car.visible) / (width, height, width, height)
    assert min(np.abs(np.array(one["box"]) - shares).max() for one in boxes) < 1e-3
    edges = np.array([one["line"] for one in marks if len(one.get("line", ())) == 2])
    ends = edges.reshape(-1, 2) * (width, height)
    corner = np.abs(ends - np.array(car.amodal)[:2]).max(axis=1)
    assert np.abs(ends[:, 0] - car.amodal[0]).min() < 0.1 and corner.min() < 30
    yellow = [one for one in marks if one.get("colour") == "#ffd24a" and len(one["line"]) > 2]
    assert yellow, "the line in the middle of the road"
    plain = client.json("/drives/0/ticks/2.json?camera=front")
    assert plain["front"]["marks"] == []


def test_roads_lie_below_the_route(client):
    roads = client.json("/drives/0/roads.json")
    assert roads["note"] == "" and {one["kind"] for one in roads["lanes"]} == {"driving"}
    ys = [y for one in roads["lanes"] for _, y in one["outline"]]
    assert (min(ys), max(ys)) == (pytest.approx(-1.75, abs=0.3), pytest.approx(5.25, abs=0.3))


def test_thumbnails_are_small(client):
    image = mosaic(client, "/drives/1/thumbs/11.jpg")
    assert image.shape == (96, 160, 3)


@pytest.mark.parametrize(
    "path",
    ["/drives/2/timeline.json", "/drives/0/ticks/12.jpg", "/drives/0/ticks/99.json",
     "/drives/0/thumbs/12.jpg", "/static/../page.py", "/static/nothing.js", "/drives/x/roads.json"],
)  # fmt: skip
def test_what_is_not_there_is_not_found(client, path):
    assert client.get(path)[0] == 404


def test_an_unknown_layer_is_refused_in_a_sentence(client):
    status, content = client.get("/drives/0/ticks/0.jpg?layer=smell")
    assert status == 400 and "expected a layer out of" in json.loads(content)["error"]


def test_other_sites_are_refused(client):
    assert client.get("/drives.json", Host="evil.example")[0] == 403
    assert client.get("/drives/0/ticks/0.jpg", **{"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert client.ask("POST", "/export", "{}", **{"Content-Type": "text/plain"})[0] == 415


def test_a_token_opens_the_page(drives, client_of):
    with DatasetView(drives[:1], token="a-long-secret") as view:
        client = client_of(view)
        assert view.url.endswith("?token=a-long-secret")
        assert client.get("/drives.json")[0] == 401
        assert client.get("/drives.json", Authorization="Bearer a-long-secret")[0] == 200


def test_the_command_exports_what_was_found(client, drives, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(drives[0].parent)
    asked = {"format": "coco", "variant": "paired", "spans": [[0, 2, 6], [0, 9, 10], [1, 0, 2]]}
    status, found = client.post("/export", asked)
    assert status == 200 and found["frames"] == 7
    assert found["text"] == (
        "realmaster dataset export one two --to coco --out data/coco --variant paired "
        "--frames frames.toml"
    )
    monkeypatch.chdir(tmp_path)  # nothing is written beside the shared recordings
    for drive in drives:
        (tmp_path / drive.name).symlink_to(drive)
    (tmp_path / "frames.toml").write_text(found["file"])
    assert main(shlex.split(found["text"])[1:]) == 0, capsys.readouterr().err
    index = json.loads((tmp_path / "data/coco/annotations/instances_train.json").read_text())
    numbers = sorted((one["town"], one["frame_id"]) for one in index["images"])
    ticks = [("Town01", tick) for tick in (2, 3, 4, 5, 9)] + [("Town02", 0), ("Town02", 1)]
    assert numbers == sorted([(town, FIRST + tick) for town, tick in ticks] * 2)  # two cameras


def test_all_frames_need_no_list(client, drives, monkeypatch):
    monkeypatch.chdir(drives[0].parent)
    whole = {"format": "yolo", "variant": "real", "spans": [[1, 0, 12]]}
    status, found = client.post("/export", whole)
    assert (status, found["file"]) == (200, "")
    assert found["text"] == "realmaster dataset export two --to yolo --out data/yolo --variant real"


@pytest.mark.parametrize(
    "asked",
    [{}, {"format": "coco", "variant": "real", "spans": []},
     {"format": "coco", "variant": "real", "spans": [[0, 0, 13]]},
     {"format": "coco", "variant": "real", "spans": [[0, 0, True]]},
     {"format": "coco; rm", "variant": "real", "spans": [[0, 0, 1]]}],
)  # fmt: skip
def test_a_selection_that_cannot_be_is_refused(client, asked):
    status, found = client.post("/export", asked)
    assert status == 400 and found["error"].startswith("expected ")


def test_a_damaged_film_is_named_and_the_others_play(recorded, tmp_path, client_of):
    drive = recorded(tmp_path / "drive")
    film = drive / SEGMENT / "front" / "real.mp4"
    film.write_bytes(film.read_bytes()[:-200] + bytes(200))
    with DatasetView([drive]) as view:
        client = client_of(view)
        assert client.json("/drives/0/timeline.json")["ticks"] == 12
        status, content = client.get("/drives/0/ticks/5.jpg")
        assert status == 422 and str(film) in json.loads(content)["error"]
        assert (
            client.get("/drives/0/ticks/3.jpg")[0] == client.get("/drives/0/ticks/8.jpg")[0] == 200
        )
        (damaged,) = checked(client)
        assert damaged["segment"] == "000001" and str(film) in damaged["reason"]


def test_a_damaged_table_is_named_and_the_others_play(recorded, tmp_path, client_of):
    drive = recorded(tmp_path / "drive")
    (drive / SEGMENT / "objects.parquet").write_bytes(b"PAR1 nothing")
    with DatasetView([drive]) as view:
        client = client_of(view)
        facts = client.json("/drives/0/timeline.json")
        assert facts["numbers"] == [FIRST + tick for tick in (0, 1, 2, 3, 8, 9, 10, 11)]
        assert [one["segment"] for one in checked(client)] == ["000001"]
        assert client.get("/drives/0/ticks/4.jpg")[0] == 200


def test_a_folder_that_is_no_recording_is_refused(tmp_path, capsys):
    with pytest.raises(RecordingError, match=r"expected .*meta\.json"):
        DatasetView([tmp_path])
    assert main(["dataset", "view", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_port_that_is_taken_is_refused(drives, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="expected a free port"):
            DatasetView(drives[:1], port=port).__enter__()
        assert main(["dataset", "view", str(drives[0]), "--port", str(port)]) == 2
    assert "choose another port" in capsys.readouterr().err
    assert main(["dataset", "view", str(drives[0]), "--port", "70000"]) == 2


def test_a_recording_without_roads_or_trust_still_shows(recorded, tmp_path, client_of):
    drive = recorded(tmp_path / "drive")
    meta = json.loads((drive / "meta.json").read_text())
    (drive / "meta.json").write_text(json.dumps({**meta, "road_maps": {}}))
    shutil.rmtree(drive / "maps")
    with DatasetView([drive]) as view:
        client = client_of(view)
        roads = client.json("/drives/0/roads.json")
        assert roads == {"lanes": [], "note": "The roads of Town01 were not recorded."}
        assert client.json("/drives/0/ticks/0.json?kind=lanes")["front"]["marks"] == []


def test_files_of_the_page_are_served(client):
    page = client.get("/")[1].decode()
    assert "static/recordings.js" in page
    folder = Path(__file__).parents[3] / "realmaster_live/datasets/view/static"
    for path in folder.glob("*.js"):
        assert client.get(f"/static/{path.name}") == (200, path.read_bytes())
        for line in path.read_text().splitlines():
            if line.startswith("import "):
                name = line.partition("./")[2].partition('"')[0]
                assert client.get(f"/static/{name}")[0] == 200


def test_the_command_serves_until_it_is_interrupted(drives):
    command = [sys.executable, "-m", "realmaster_live", "dataset", "view", *map(str, drives)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as one:
        try:
            address = one.stdout.readline().strip()
            with urllib.request.urlopen(f"{address}drives.json", timeout=60) as answer:
                names = [drive["name"] for drive in json.load(answer)["drives"]]
            one.send_signal(signal.SIGINT)
            assert one.wait(60) == 0
        finally:
            one.kill()
        assert names == ["one", "two"] and one.stderr.read() == ""
