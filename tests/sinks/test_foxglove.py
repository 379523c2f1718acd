"""A live MCAP file and a Foxglove server: their messages, read by nothing but what they say."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from driven_scene import driven_chunk, intrinsics, objects_at
from h264_pictures import decoded
from sink_drive import drive, run_info
from waiting import until

import realmaster_live as rm
from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.messages.foxglove_ego import JSON_SCHEMAS
from realmaster_live.sinks.foxglove_layout import foxglove_layout

pytest.importorskip("foxglove")
content = pytest.importorskip("mcap_content")
aiohttp = pytest.importorskip("aiohttp")

SCRIPT = """
import os, signal, sys
from driven_scene import driven_chunk
from sink_drive import run_info
import realmaster_live as rm
sink = rm.open_sink(f"mcap:{sys.argv[1]}").sink
sink.open()
sink.begin(run_info("front"))
for index in range(3):
    sink.write(driven_chunk(index))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_documented_layout_is_what_is_made():
    kept = Path(__file__, "../../../docs/foxglove-layout.json").resolve().read_text()
    assert json.loads(kept) == json.loads(foxglove_layout())
    with pytest.raises(ConfigError, match=r"got 'front': give a list, as \['front'\]"):
        foxglove_layout("front")


@pytest.mark.parametrize("cameras", [["front"], ["front", "left", "right"]])
def test_a_layout_is_in_the_form_that_the_viewer_imports(cameras):
    """As its exported files are: settings by id, and a binary tree of splits over these ids."""
    layout = json.loads(foxglove_layout(cameras))
    assert set(layout) == {
        "configById", "globalVariables", "userNodes", "playbackConfig", "layout"
    }  # fmt: skip
    leaves = []

    def walk(node, share):
        if isinstance(node, str):
            leaves.append((node, share))
            return
        assert set(node) == {"first", "second", "direction", "splitPercentage"}
        assert node["direction"] in ("row", "column")
        part = node["splitPercentage"] / 100
        walk(node["first"], share * part)
        walk(node["second"], share * (1 - part))

    walk(layout["layout"], 1.0)
    panels = layout["configById"]
    assert sorted(name for name, _ in leaves) == sorted(panels)
    assert {name.split("!")[0] for name in panels} == {"Image", "3D", "Plot"}
    pictures = [share for name, share in leaves if name.startswith("Image!")]
    assert np.allclose(pictures, 1 / (4 * len(cameras)))
    shown = {panels[name]["imageMode"]["imageTopic"] for name in panels if "Image" in name}
    assert shown == {f"/{camera}/{which}" for camera in cameras for which in ("sim", "real")}
    for line in panels["Plot!vehicle"]["paths"]:  # one that lacks either is not drawn
        assert line["enabled"] and line["timestampMethod"] == "receiveTime"


def test_the_file_holds_the_drive(tmp_path):
    sink = rm.open_sink(f"mcap:{tmp_path}/drives/live.mcap")
    chunks = drive(sink, cameras=("front", "back"), trust=0.8)
    assert str(sink.figures).endswith("live.mcap: 40 frames")
    found = content.read(tmp_path / "drives/live.mcap")
    front = [chunk for chunk in chunks if chunk.camera == "front"]
    times = [round(one * 1e9) for chunk in front for one in chunk.timestamps]
    for camera in ("front", "back"):
        for topic in ("calibration", "sim", "real", "trust"):
            assert [at for at, _ in found[f"/{camera}/{topic}"]] == times
    assert [at for at, _ in found["/things"]] == times
    shown = set(re.findall(r'"(/[^".]+)(?:\.(\w+))?"', foxglove_layout(["front", "back"])))
    assert {topic for topic, field in shown if not field} <= set(found)
    for topic, field in shown:
        assert not field or field in JSON_SCHEMAS[topic]["properties"]
    for stream, truth in (("real", "frames"), ("sim", "rendered")):
        pictures = decoded([message.data for _, message in found[f"/front/{stream}"]])
        assert len(pictures) == 20
        for number, picture in enumerate(pictures):
            wanted = getattr(front[number // 4], truth)[number % 4]
            assert abs(picture.astype(int) - wanted).mean() < 6
    np.testing.assert_allclose(found["/front/calibration"][0][1].K, intrinsics().ravel())
    assert found["/front/trust"][0][1]["score"] == 0.8
    entities = found["/things"][0][1].entities
    assert [one.id for one in entities] == [str(one.object_id) for one in objects_at(0)]
    chains = [[(one.parent_frame_id, one.child_frame_id) for one in message.transforms]
              for _, message in found["/tf"]]  # fmt: skip
    assert {chain[1][1] for chain in chains} == {"front", "back"}


def test_a_killed_process_leaves_its_chunks(tmp_path):
    path = tmp_path / "killed.mcap"
    parts = Path(__file__).parent.parent / "parts"
    environment = {**os.environ, "PYTHONPATH": f"{parts}:{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(path)], env=environment)
    assert done.returncode == -signal.SIGKILL
    from mcap.records import Chunk, Message
    from mcap.stream_reader import StreamReader

    messages = 0
    with path.open("rb") as file:
        try:
            for record in StreamReader(file).records:
                assert not isinstance(record, Chunk)
                messages += isinstance(record, Message)
        except Exception as error:  # the end is missing, as it was killed
            assert "EndOfFile" in type(error).__name__
    assert messages == 12 * 5


def test_a_file_that_exists_stays(tmp_path):
    (tmp_path / "a.mcap").write_text("mine")
    with pytest.raises(RecordingError, match="choose another name"):
        drive(rm.open_sink(f"mcap:{tmp_path}/a.mcap"))
    assert (tmp_path / "a.mcap").read_text() == "mine"


def test_a_viewer_gets_what_it_subscribes_to(monkeypatch):
    """Speaks Foxglove's own WebSocket protocol, as the viewer does."""
    import asyncio

    sink = rm.open_sink("foxglove:127.0.0.1:0")
    sink.begin(run_info("front"))
    made = []
    h264 = type(sink.sink._encodings).h264
    monkeypatch.setattr(
        type(sink.sink._encodings), "h264",
        lambda self, chunk, which="real": made.append(which) or h264(self, chunk, which),
    )  # fmt: skip
    sink.write(driven_chunk(0))  # which makes the topics
    until(lambda: sink.figures.written == 4)
    assert made == []  # nobody looks

    async def look():
        topics, classes, got = {}, {}, []
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(sink.sink.url, protocols=("foxglove.sdk.v1",), max_msg_size=0) as ws,
        ):
            index = 1
            while len(got) < 8:
                if classes:  # for as long as the subscription takes to arrive
                    sink.write(driven_chunk(index))
                    index += 1
                try:
                    message = await asyncio.wait_for(ws.receive(), 0.3 if classes else 60)
                except TimeoutError:
                    continue
                if message.type == aiohttp.WSMsgType.TEXT:
                    said = json.loads(message.data)
                    for channel in said.get("channels", ()):
                        topics[channel["topic"]] = channel
                    wanted = topics.get("/front/real")
                    if said["op"] == "advertise" and wanted and not classes:
                        import base64

                        schema = base64.b64decode(wanted["schema"])
                        classes[7] = content.decoder(wanted["schemaName"], schema)
                        subscription = {"id": 7, "channelId": wanted["id"]}
                        subscribe = {"op": "subscribe", "subscriptions": [subscription]}
                        await ws.send_json(subscribe)
                elif message.type == aiohttp.WSMsgType.BINARY and message.data[0] == 1:
                    number, at = struct.unpack_from("<IQ", message.data, 1)
                    got.append((at, classes[number].FromString(message.data[13:])))
        return topics, got, index

    topics, got, count = asyncio.run(look())
    sink.close()
    assert {"/tf", "/things", "/front/calibration", "/front/sim", "/front/real"} <= topics.keys()
    assert set(made) == {"real"}  # nobody subscribed to the simulator's pictures
    pictures = decoded([message.data for _, message in got])
    chunk_of = {
        round(at * 1e9): (index, row)
        for index in range(count)
        for row, at in enumerate(driven_chunk(index).timestamps)
    }
    for (at, _), picture in zip(got, pictures, strict=True):
        index, row = chunk_of[at]
        assert abs(picture.astype(int) - driven_chunk(index).frames[row]).mean() < 6


def test_a_taken_port_is_one_sentence():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"free port.*127.0.0.1:{port}"):
            drive(rm.open_sink(f"foxglove:127.0.0.1:{port}"))
