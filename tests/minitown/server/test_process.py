"""The server as a process: its options, its ready line, its end, its state log."""

import os
import re
import signal
import socket
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from waiting import until

from realmaster_live.cli import main
from realmaster_live.errors import ActorError, ConfigError
from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.server.state import read_states
from realmaster_live.minitown.server.towns import load_town, map_of, map_of_file, map_of_seed

carla = pytest.importorskip("carla")

pytestmark = pytest.mark.carla

LIFETIME = ["--exit-with-parent", str(os.getpid())]
SERVER = [sys.executable, "-m", "realmaster_live", "minitown", *LIFETIME]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ends_cleanly_on_a_signal_while_clients_listen(number, tmp_path):
    log = tmp_path / "states.jsonl"
    with subprocess.Popen(
        [*SERVER, "--port", "0", "--no-raster", "--vehicles", "4", "--state-log", str(log)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            ready = re.search(r":(\d+) \(streams on (\d+),", process.stdout.readline())
            port, stream_port = map(int, ready.groups())
            with socket.create_connection(("127.0.0.1", port)), socket.socket() as stream:
                stream.connect(("127.0.0.1", stream_port))
                stream.sendall(b"\x01\0\0\0")
                assert stream.recv(1000)
                until(lambda: log.read_bytes().count(b"\n") > 3)
                process.send_signal(number)
                assert process.wait(60) == 0
        finally:
            process.kill()
        assert "Traceback" not in process.stderr.read()
    frames = [logged.state.frame for logged in read_states(log)]
    assert len(frames) > 2 and np.all(np.diff(frames) == 1)


def test_a_taken_port_is_reported_in_one_line(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["minitown", "--port", str(port), "--no-raster"]) == 1
    error = capsys.readouterr().err
    assert str(port) in error and error.count("\n") == 1


def test_a_taken_stream_port_is_stepped_over(running):
    with socket.socket() as rpc, socket.socket() as stream:
        rpc.bind(("127.0.0.1", 0))
        port = rpc.getsockname()[1]
        try:
            stream.bind(("127.0.0.1", port + 1))
        except OSError:
            pytest.skip("the next port is somebody else's")
        stream.listen()
        rpc.close()
        with running("--no-raster", port=port) as server:
            assert server.client().get_world().wait_for_tick(30.0).frame > 0


def test_state_log_holds_the_cameras_of_every_frame(running, tmp_path):
    log = tmp_path / "states.jsonl"
    with running("--no-raster", "--walkers", "3", "--state-log", str(log)) as server:
        world = server.client().get_world()
        settings = world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
        world.apply_settings(settings)
        blueprint = world.get_blueprint_library().find("sensor.camera.rgb")
        blueprint.set_attribute("fov", "65")
        place = carla.Transform(carla.Location(3, 4, 5), carla.Rotation(-10, 20, 0))
        camera = world.spawn_actor(blueprint, place)
        images = []
        camera.listen(images.append)
        for _ in range(3):
            world.tick()
        until(lambda: len(images) == 3)
        camera.stop()
        camera.destroy()
    logged = {one.state.frame: one for one in read_states(log)}
    assert len(images) == 3
    for image in images:
        (camera,) = logged[image.frame].cameras
        assert (camera.view.width, camera.view.height, camera.view.fov_deg) == (800, 600, 65.0)
        assert np.allclose(camera.view.cam_to_world, image.transform.get_matrix(), atol=1e-4)
        assert logged[image.frame].state.town_seed == 7
        models = {instance.model for instance in logged[image.frame].state.instances}
        assert "traffic_light" in models and any(name.startswith("walker") for name in models)


def test_names_of_towns():
    assert map_of("MiniTown07") == map_of("/Game/Carla/Maps/MiniTown07") == map_of_seed(7)
    assert map_of("Carla/Maps/MiniTown123").seed == 123
    assert map_of("Town10HD_Opt").seed == map_of("Carla/Maps/Town10HD").seed
    assert len({map_of(f"Town{number:02d}").seed for number in range(1, 16)}) == 15
    for name in ("", "Town16", "Town03_Opt_Opt", "MiniTown07.xodr"):
        with pytest.raises(ActorError, match="expected a map"):
            map_of(name)
    town = load_town("Town03_Opt", drawn=False)
    assert town.map_name == "Carla/Maps/Town03_Opt" and town.origin == (49.0, 8.0)
    with pytest.raises(ConfigError, match="look"):
        load_town("MiniTown03", look="Z")


NAMED = {
    "other.xodr": "got other roads",
    "empty.xodr": "got an empty file",
    "pointer.xodr": "got a Git LFS pointer: run git lfs pull",
    "page.xodr": "got an HTML page: download the file itself",
    "text.xodr": "got another kind of text",
}


def test_an_opendrive_becomes_its_town_or_one_sentence(tmp_path, capsys):
    ours = tmp_path / "ours.xodr"
    ours.write_text(make_network(12).opendrive, encoding="utf-8")
    assert map_of_file(ours) == map_of_seed(12)
    text = make_network(12).opendrive
    tree = ElementTree.fromstring(text)
    ElementTree.indent(tree, "\t")
    for number, same in enumerate(
        (
            text.replace("\n", "\r\n").encode(),
            text.encode("utf-8-sig"),
            text.encode("utf-16"),
            text.strip().encode(),
            f"{text}\n\n".encode(),
            ElementTree.tostring(tree),
            ElementTree.tostring(tree, "utf-8", xml_declaration=True),
        )
    ):
        ours = tmp_path / f"saved-{number}.xodr"
        ours.write_bytes(same)
        assert map_of_file(ours) == map_of_seed(12), number
    others = {
        "changed.xodr": make_network(12).opendrive.replace("driving", "shoulder", 1).encode(),
        "other.xodr": b'<OpenDRIVE><header name="elsewhere"/></OpenDRIVE>',
        "noise.xodr": bytes(range(256)),
        "empty.xodr": b"",
        "pointer.xodr": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "page.xodr": b"<!DOCTYPE html><html><title>404</title></html>",
        "text.xodr": b"see the other folder",
    }
    command = ["minitown", "--port", "0", "--no-raster", "--opendrive"]
    for name, content in others.items():
        (tmp_path / name).write_bytes(content)
        assert main([*command, str(tmp_path / name)]) == 2
        error = capsys.readouterr().err
        assert name in error.splitlines()[-1] and "Traceback" not in error
        assert NAMED.get(name, "expected") in error
    assert main([*command, str(tmp_path / "absent.xodr")]) == 2
    error = capsys.readouterr().err
    assert "expected OpenDRIVE in " in error and "got no such file: name another" in error
