import threading
import time
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from waiting import until

from realmaster_live import Frame, Recording, load_engine
from realmaster_live.errors import ConfigError
from realmaster_live.live.pipeline import run
from realmaster_live.sinks.viewer.live_view import LiveView

SIZE = (64, 32)  # width, height


class Street:
    """Gives the frames of two cameras at an even pace until it is stopped."""

    def __init__(self, picture, cameras=("front", "left")):
        self.picture, self.cameras, self.stopped = picture, cameras, threading.Event()

    def frames(self):
        number = 0
        while not self.stopped.wait(0.02):
            image, labels = self.picture(number, SIZE)
            for camera in self.cameras:
                yield Frame(
                    camera=camera, frame_id=number, timestamp=number / 20, labels=labels,
                    captured_at=time.monotonic(), image=image, intrinsics=np.eye(3),
                    cam_to_world=np.eye(4),
                )  # fmt: skip
            number += 1

    def close(self):
        self.stopped.set()


@pytest.fixture
def running(client_of):
    """The function that runs an engine for each of two cameras, with a view: gives its client."""
    from street import street

    @contextmanager
    def start(name, **options):
        view, source = LiveView(**options), Street(street)
        engines = {
            camera: load_engine(name, width=SIZE[0], height=SIZE[1]) for camera in source.cameras
        }
        stats = []
        thread = threading.Thread(target=lambda: stats.append(run(source, engines, [view])))
        thread.start()
        try:
            while not view.shown:
                assert thread.is_alive()
                time.sleep(0.02)
            yield client_of(view)
        finally:
            source.stopped.set()
            thread.join()
            for engine in engines.values():
                engine.close()
        assert stats[0].realized > 0

    return start


def test_the_state_says_what_there_is_to_watch(running):
    with running("identity") as client:
        until(lambda: len(client.json("/state.json")["cameras"]) == 2)
        state = client.json("/state.json")
        assert [camera["name"] for camera in state["cameras"]] == ["front", "left"]
        front = state["cameras"][0]
        assert front["size"] == [64, 32]
        assert front["layers"] == ["classes", "instances", "depth", "flow"]
        assert front["boxes"] is True
        assert state["run"]["engine"] == "identity" and state["run"]["policy"] == "block"
        assert state["stats"]["shown"] > 0 and state["number"] > 0
        assert set(state["controls"]["lacks"]) == {"prompt", "strength", "seed"}
        assert "--view-recordings DIR" in state["recording"]["why_not"]


def test_the_look_fades_to_another_prompt_and_the_seed_changes(running):
    with running("embedded") as client:
        assert "night" in client.json("/state.json")["controls"]["prompts"]
        status, answer = client.post("/prompt", {"prompt": "night", "fade_s": 0.8})
        assert (status, answer) == (200, {"is_waiting": False, "changed": True})
        weights = set()

        def is_night():
            shows = client.json("/state.json")["shows"]
            if shows["prompt"] == "night":
                weights.add(round(shows["weight"], 2))
            return 1.0 in weights

        until(is_night)
        assert weights - {1.0} <= {0.2, 0.4, 0.6, 0.8}
        assert client.post("/seed", {"seed": 77})[0] == 200
        until(lambda: client.json("/state.json")["shows"]["seed"] == 77)
        assert client.json("/state.json")["controls"]["seed"] == 77
        status, answer = client.post("/prompt", {"prompt": "nigth"})
        assert status == 400 and "use 'night'" in answer["error"]


def test_a_control_that_the_engine_lacks_is_refused_with_its_reason(running):
    with running("identity") as client:
        for path, values in (
            ("/prompt", {"prompt": "rain"}), ("/strength", {"strength": 0.5}),
            ("/seed", {"seed": 1}),
        ):  # fmt: skip
            status, answer = client.post(path, values)
            assert status == 400 and "the engine identity" in answer["error"]


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/prompt", {"prompt": 5}), ("/prompt", {}), ("/prompt", {"prompt": "x", "fade_s": -1}),
        ("/prompt", {"prompt": "x", "fade_s": "long"}), ("/prompt", {"prompt": "x", "fade_s": 1e9}),
        ("/strength", {"strength": "full"}), ("/strength", {"strength": 1e300}),
        ("/strength", {"strength": True}), ("/seed", {"seed": 1.5}), ("/seed", {"seed": -1}),
        ("/seed", {"seed": 2**70}), ("/recording", {}), ("/recording", {"on": "yes"}),
        ("/seed", [1]), ("/seed", None), ("/offer", {}), ("/offer", {"sdp": "no", "type": "offer"}),
        ("/offer", {"sdp": 1, "type": 2}), ("/offer", {"watch": {"cameras": 5}}),
        ("/offer", {"watch": 7}),
    ],
)  # fmt: skip
def test_bad_values_get_one_sentence(client, path, values, caplog):
    status, answer = client.post(path, values)
    assert status == 400 and answer["error"].startswith("expected ")
    assert "Traceback" not in caplog.text


def test_what_is_no_json_gets_one_sentence(client):
    kind = {"Content-Type": "application/json"}
    status, _, content = client.ask("POST", "/seed", b"{half", **kind)
    assert status == 400 and b"expected a JSON object" in content
    assert client.ask("POST", "/seed", b"\xff\xfe\x00", **kind)[0] == 400
    assert client.ask("POST", "/seed", b" " * 100_000 + b"{}", **kind)[0] == 413


def test_without_a_run_nothing_is_changed(client):
    for path, values in (("/prompt", {"prompt": "rain"}), ("/seed", {"seed": 1})):
        status, answer = client.post(path, values)
        assert status == 400 and "expected a run with controls" in answer["error"]
    assert client.json("/state.json")["controls"] is None


def test_a_snapshot_is_both_pictures_bit_for_bit(view, client, rig_at):
    assert client.get("/snapshot.png")[0] == 404  # there is no picture yet
    for chunk in rig_at(0) + rig_at(1):
        view.write(chunk)
    until(lambda: view.stats()["frame_id"] == 1007)
    front, left = rig_at(1)
    status, headers, png = client.ask("GET", "/snapshot.png?camera=left&camera=front&layer=depth")
    assert status == 200 and headers["Content-Type"] == "image/png"
    assert headers.get_filename() == "left-front-001007.png"
    picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    rows = [np.concatenate([one.rendered[3], one.frames[3]], axis=1) for one in (left, front)]
    assert np.array_equal(picture, np.concatenate(rows))
    assert client.get("/snapshot.png?camera=rear")[0] == 404


@pytest.mark.parametrize("path", ["/live.mjpg?layer=no", "/snapshot.png?" + "camera=a&" * 17])
def test_what_cannot_be_watched_is_refused(view, client, chunk_at, path):
    view.write(chunk_at(0))
    status, content = client.get(path)
    assert status == 400 and content.startswith(b"expected ")


def test_the_page_records_from_one_tick_to_another(running, tmp_path):
    with running("identity", recordings=tmp_path / "drives") as client:
        assert not (tmp_path / "drives").exists()  # nothing was asked for
        status, state = client.post("/recording", {"on": True})
        assert status == 200 and state["is_on"]
        status, answer = client.post("/recording", {"on": True})
        assert status == 400 and "stop it first" in answer["error"]
        until(lambda: client.json("/state.json")["recording"]["frames"] >= 24)
        status, state = client.post("/recording", {"on": False})
        assert status == 200 and not state["is_on"] and state["frames"] >= 24
        assert state["left_out"] % 4 == 0  # whole chunks, where the disk is slower than the run
        first = state["folder"]
        client.post("/recording", {"on": True})  # left on: the run's end finishes it
        until(lambda: client.json("/state.json")["recording"]["frames"] >= 8)
        second = client.json("/state.json")["recording"]["folder"]
    assert first != second
    for folder in (first, second):
        recording = Recording(folder)
        assert recording.meta.complete and set(recording.meta.cameras) == {"front", "left"}
        frames = list(recording)
        by_camera = {name: [f.frame_id for f in frames if f.camera == name] for name in
                     ("front", "left")}  # fmt: skip
        assert by_camera["front"] == by_camera["left"] and len(by_camera["front"]) >= 4


def test_a_file_is_no_folder_for_recordings(tmp_path):
    file = tmp_path / "drives.zip"
    file.write_text("a file")
    for recordings in (file, str(file)):
        with pytest.raises(ConfigError, match=r"a folder for recordings .*, got the file .*\.zip"):
            LiveView(recordings=recordings)


def test_the_page_reports_a_folder_that_cannot_be_written(running, tmp_path):
    with running("identity", recordings=tmp_path / "file") as client:
        (tmp_path / "file").write_text("in the way, since the page began")
        status, answer = client.post("/recording", {"on": True})
        assert status == 400 and "expected" in answer["error"]
        assert not client.json("/state.json")["recording"]["is_on"]
        assert client.post("/recording", {"on": False})[0] == 200
