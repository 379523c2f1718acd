"""ROS 2 topics, as another process reads them over DDS, and a bag of the same messages."""

import io
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from driven_scene import SIZE, driven_chunk, intrinsics
from PIL import Image
from sink_drive import drive, run_info
from waiting import until

import realmaster_live as rm
from realmaster_live.errors import ConfigError, RecordingError

pytest.importorskip("cyclonedds")
highlevel = pytest.importorskip("rosbags.highlevel")
typesys = pytest.importorskip("rosbags.typesys")

READER = Path(__file__).parent.parent / "parts" / "ros2_reader.py"
CAMERA = "/carla/hero/front_real"
LOOPBACK = """<CycloneDDS><Domain><General><AllowMulticast>false</AllowMulticast><Interfaces>
<NetworkInterface name="lo" multicast="false"/></Interfaces></General><Discovery>
<ParticipantIndex>auto</ParticipantIndex><Peers><Peer address="127.0.0.1"/></Peers></Discovery>
</Domain></CycloneDDS>"""


@pytest.fixture
def domain(monkeypatch):
    """A DDS domain of this process and its children alone."""
    monkeypatch.setenv("CYCLONEDDS_URI", LOOPBACK)
    return 30 + os.getpid() % 200


def nanoseconds(chunks):
    return [round(one * 1e9) for chunk in chunks for one in chunk.timestamps]


def check_k(k):
    """ROS counts pixels from their centres, so its principal point is half a pixel less."""
    wanted = intrinsics()
    wanted[:2, 2] -= 0.5
    np.testing.assert_allclose(np.reshape(k, (3, 3)), wanted)
    assert k[2] == SIZE[0] / 2 - 0.5


def test_another_process_gets_every_stamp_and_picture(domain):
    wanted = 8
    reader = subprocess.Popen(
        [sys.executable, str(READER), str(domain), str(wanted), CAMERA],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert reader.stdout.readline() == "ready\n"
        lines, chunks = [], []
        collecting = threading.Thread(target=lambda: lines.extend(map(json.loads, reader.stdout)))
        collecting.start()
        sink = rm.open_sink(f"ros2:{domain}")
        sink.begin(run_info("front"))
        deadline = time.monotonic() + 60
        while reader.poll() is None and time.monotonic() < deadline:
            chunks.append(driven_chunk(len(chunks)))
            sink.write(chunks[-1])
            written = sum(map(len, chunks))  # what comes too fast is left out
            until(lambda: sink.figures.written == written)  # noqa: B023
            time.sleep(0.1)
    finally:
        reader.kill()
        reader.wait()
        collecting.join(30)
        reader.stdout.close()
    sink.close()
    assert sink.figures.failed == 0
    got = {}
    for topic, at, frame_id, content in lines:
        got.setdefault(topic, []).append((at, frame_id, content))
    print("stamps:", [at / 1e9 for at, _, _ in got[f"{CAMERA}/image"]])
    chunk_of = {at: (chunk, row) for chunk in chunks for row, at in enumerate(nanoseconds([chunk]))}
    for messages in got.values():
        stamps = [at for at, _, _ in messages]
        assert len(stamps) >= wanted and stamps == sorted(stamps)
        assert set(stamps) <= chunk_of.keys()  # the simulation's clock, to the nanosecond
        assert stamps == [at for at in chunk_of if stamps[0] <= at <= stamps[-1]]  # none is missing
    for at, frame_id, (width, height, encoding, step, data) in got[f"{CAMERA}/image"]:
        chunk, row = chunk_of[at]
        assert (frame_id, encoding, step) == ("hero/front_real", "rgb8", 3 * width)
        picture = np.frombuffer(bytes.fromhex(data), np.uint8).reshape(height, width, 3)
        np.testing.assert_array_equal(picture, chunk.frames[row])
    for at, _, (form, data) in got[f"{CAMERA}/image/compressed"]:
        chunk, row = chunk_of[at]
        assert "jpeg" in form
        picture = np.asarray(Image.open(io.BytesIO(bytes.fromhex(data))))
        assert abs(picture.astype(int) - chunk.frames[row]).mean() < 4
    for _, frame_id, (width, height, k) in got[f"{CAMERA}/camera_info"]:
        assert frame_id == "hero/front_real" and (width, height) == SIZE
        check_k(k)
    for at, _, links in got["/tf"]:
        chunk, row = chunk_of[at]
        assert [link[:2] for link in links] == [["map", "hero"], ["hero", "hero/front_real"]]
        np.testing.assert_allclose(links[0][2], chunk.ego_to_world[row][:3, 3])
        back = chained(links)
        np.testing.assert_allclose(back, chunk.cam_to_world[row], atol=1e-9)


def chained(links):
    """Return the pose at the end of a chain of transforms, (4, 4)."""
    pose = np.eye(4)
    for _, _, place, (w, x, y, z) in links:
        step = np.eye(4)
        step[:3, :3] = [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
        step[:3, 3] = place
        pose = pose @ step
    return pose


def test_a_domain_without_a_peer_costs_nothing_but_a_line(domain, monkeypatch, caplog):
    module = pytest.importorskip("realmaster_live.sinks.ros2")
    monkeypatch.setattr(module, "ALONE_S", 0.0)
    sink = rm.open_sink(f"ros2:{domain}/sim")
    drive(sink, chunks=3, pause_s=0.2)
    assert sink.figures.written + sink.figures.dropped == 12 and not sink.figures.error
    assert [one.getMessage() for one in caplog.records] == [
        "ROS 2: nobody subscribes to /sim yet: same domain, same network?"
    ]


def test_a_network_that_is_not_there_is_one_sentence(domain, monkeypatch):
    monkeypatch.setenv("CYCLONEDDS_URI", LOOPBACK.replace('"lo"', '"nowhere0"'))
    with pytest.raises(ConfigError, match=r"expected to join the DDS domain \d+, got .*CYCLONE"):
        drive(rm.open_sink(f"ros2:{domain + 1}"))


def test_a_bag_is_read_back_by_rosbags(tmp_path):
    sink = rm.open_sink(f"rosbag:{tmp_path}/drives/bag")
    chunks = drive(sink, cameras=("front", "back"))
    assert not sink.figures.error
    store = typesys.get_typestore(typesys.Stores.EMPTY)  # the bag brings its own types
    found = {}
    with highlevel.AnyReader([tmp_path / "drives/bag"], default_typestore=store) as reader:
        for connection, at, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            found.setdefault(connection.topic, []).append((at, message))
    front = [chunk for chunk in chunks if chunk.camera == "front"]
    times = nanoseconds(front)
    for kind in ("image/compressed", "camera_info"):
        assert [at for at, _ in found[f"{CAMERA}/{kind}"]] == times
        assert [at for at, _ in found[f"/carla/hero/back_real/{kind}"]] == times
    assert [at for at, _ in found["/clock"]] == times  # once a tick, not once a camera
    assert len(found["/tf"]) == 2 * len(times)
    for (at, message), row in zip(found[f"{CAMERA}/image/compressed"], range(20), strict=True):
        stamp = message.header.stamp
        assert stamp.sec * 10**9 + stamp.nanosec == at
        picture = np.asarray(Image.open(io.BytesIO(bytes(message.data))))
        assert abs(picture.astype(int) - front[row // 4].frames[row % 4]).mean() < 4
    check_k(found[f"{CAMERA}/camera_info"][0][1].k)


def test_a_bag_that_exists_stays(tmp_path):
    (tmp_path / "bag").mkdir()
    with pytest.raises(RecordingError, match="exists already"):
        drive(rm.open_sink(f"rosbag:{tmp_path}/bag"))
    assert list((tmp_path / "bag").iterdir()) == []
