"""The proxy with the real carla client: one client behind it beside one that is not."""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import carla
import negative_proxy
import numpy as np
import pytest

from realmaster_live.bridges.carla.images import bgra_view
from realmaster_live.bridges.carla.proxy.server import CarlaProxy
from realmaster_live.errors import ConnectError
from realmaster_live.feeds.realizing import Realizing

pytestmark = pytest.mark.carla
WIDTH, HEIGHT = 96, 64


class Behind:
    """A client behind a proxy that inverts pictures, and the same world seen past it."""

    def __init__(self, owner, child: subprocess.Popen, port: int) -> None:
        self.owner, self.child, self.port = owner, child, port
        self.client = carla.Client("127.0.0.1", port, 8)
        self.client.set_timeout(30.0)
        self.world = self.client.get_world()
        self.spawned: list = []
        self.twins: dict = {}  # a sensor that nobody holds stops

    def camera(self, kind: str = "rgb", **attributes):
        """Return a camera as the client behind the proxy knows it; it spawned it."""
        blueprint = self.world.get_blueprint_library().find(f"sensor.camera.{kind}")
        values = {"image_size_x": WIDTH, "image_size_y": HEIGHT, "role_name": "front"}
        for name, value in {**values, **attributes}.items():
            blueprint.set_attribute(name, str(value))
        place = carla.Transform(carla.Location(z=30.0))
        self.spawned.append(self.world.spawn_actor(blueprint, place))
        return self.spawned[-1]

    def twin(self, camera):
        """Return the camera as a client past the proxy knows it."""
        return self.twins.setdefault(camera.id, self.owner.world.get_actor(camera.id))

    def status(self) -> dict:
        """Return what the proxy's streams and engines do."""
        self.child.stdin.write("?\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def subscribers(self) -> int:
        """Return how many clients the first stream has."""
        streams = self.status()["streams"]
        return streams[0]["subscribers"] if streams else 0

    def until_realized(self) -> None:
        """Tick until the engines are open."""

        def ready() -> bool:
            self.world.tick(30.0)
            streams = self.status()["streams"]
            return bool(streams) and all(one["feed"] for one in streams)

        self.owner.wait_until(ready)


@contextmanager
def behind(owner, policy: str = "hold", *, all_streams: bool = False, **choice):
    options = {"port": owner.port, "policy": policy, "all_streams": all_streams, "choice": choice}
    command = (sys.executable, negative_proxy.__file__, json.dumps(options))
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            me = Behind(owner, child, int(child.stdout.readline()))
            yield me
            for camera in me.spawned:
                camera.destroy()
            time.sleep(0.3)  # the client's threads end after stop()
            child.stdin.close()
            assert child.wait(60) == 0
        finally:
            child.kill()


def listen(camera) -> queue.Queue:
    images: queue.Queue = queue.Queue()
    camera.listen(images.put)
    return images


def take(images: queue.Queue, frame: int):
    while (image := images.get(timeout=30)).frame != frame:
        assert image.frame < frame
    return image


def test_cameras_are_photoreal_and_everything_else_is_the_servers(owner):
    with behind(owner, "delay") as me, owner.synchronous():
        rgb, depth = me.camera(), me.camera("depth")
        images, depths = listen(rgb), listen(depth)
        plain, plain_depths = listen(me.twin(rgb)), listen(me.twin(depth))
        me.until_realized()
        frames = [me.world.tick(30.0) for _ in range(6)]
        for frame in frames[:-2]:
            image, drawn = take(images, frame), take(plain, frame)
            np.testing.assert_array_equal(
                bgra_view(image)[..., :3], 255 - bgra_view(drawn)[..., :3]
            )
            for name in ("frame", "timestamp", "fov", "width", "height"):
                assert getattr(image, name) == getattr(drawn, name)
            assert image.transform.get_matrix() == drawn.transform.get_matrix()
            mine, theirs = take(depths, frame), take(plain_depths, frame)
            assert bytes(mine.raw_data) == bytes(theirs.raw_data)
        assert len(me.status()["streams"]) == 1  # depth goes past the proxy
        assert me.world.get_map().name == owner.world.get_map().name
        for camera in (rgb, depth, me.twin(rgb), me.twin(depth)):
            camera.stop()


def test_a_tick_in_lockstep_runs_through_the_chunk(owner):
    with behind(owner, "lockstep") as me, owner.synchronous():
        camera = me.camera()
        images = listen(camera)
        plain = listen(me.twin(camera))
        me.until_realized()
        before = me.world.tick(30.0)
        for _ in range(3):
            frame = me.world.tick(30.0)
            assert frame == before + 2
            before = frame
            expected = 255 - bgra_view(take(plain, frame))[..., :3]
            np.testing.assert_array_equal(bgra_view(take(images, frame))[..., :3], expected)
        camera.stop()
        me.twin(camera).stop()


def test_a_strict_client_never_starves_and_several_share_one_camera(owner):
    with behind(owner) as me, owner.synchronous():
        camera = me.camera()
        images = listen(camera)
        other = Behind(owner, me.child, me.port)
        same = other.world.get_actor(camera.id)
        others = listen(same)
        owner.wait_until(lambda: me.subscribers() == 2)
        me.until_realized()
        for _ in range(30):
            frame = me.world.tick(30.0)
            mine, theirs = take(images, frame), take(others, frame)
            assert bytes(mine.raw_data) == bytes(theirs.raw_data)
        status = me.status()
        assert len(status["streams"]) == len(status["engines"]) == 1
        assert status["streams"][0]["subscribers"] == 2
        feed = status["streams"][0]["feed"]
        assert feed["dropped"] == 0 < feed["realized"]
        same.stop()
        frame = me.world.tick(30.0)
        take(images, frame)
        camera.stop()
        owner.wait_until(lambda: me.status() == {"streams": [], "engines": [True]})
        again = listen(camera)  # and once more
        take(again, me.world.tick(30.0))
        camera.stop()


def test_only_chosen_cameras_are_realized(owner):
    with behind(owner, roles=["front"], count=1) as me, owner.synchronous():
        front, rear = me.camera(), me.camera(role_name="rear")
        queues = listen(front), listen(rear)

        def ready() -> bool:
            frame = me.world.tick(30.0)
            pixels = [bgra_view(image := take(one, frame)) for one in queues]
            del image
            return not np.array_equal(*pixels)

        owner.wait_until(ready)
        assert me.status()["engines"] == [False]
        front.stop()
        rear.stop()


def test_all_streams_go_through_the_proxy_when_asked(owner):
    with behind(owner, all_streams=True) as me, owner.synchronous():
        depth = me.camera("depth")
        images, plain = listen(depth), listen(me.twin(depth))
        for _ in range(5):
            frame = me.world.tick(30.0)
            mine, theirs = take(images, frame), take(plain, frame)
            assert bytes(mine.raw_data) == bytes(theirs.raw_data)
        assert len(me.status()["streams"]) == 2  # the world's state is the other one
        depth.stop()
        me.twin(depth).stop()


def test_a_stalled_client_holds_the_simulator_once_only(owner):
    """A process that is stopped while it listens, as by a debugger."""
    program = (
        "import carla, sys; c = carla.Client('127.0.0.1', int(sys.argv[1]), 8); "
        "c.set_timeout(30.0); s = c.get_world().get_actor(int(sys.argv[2])); "
        "s.listen(lambda i: None); print('ready', flush=True); sys.stdin.read()"
    )
    with behind(owner) as me, owner.synchronous():
        camera = me.camera(image_size_x=1280, image_size_y=720)
        images = listen(camera)
        command = (sys.executable, "-c", program, str(me.port), str(camera.id))
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout.readline() == "ready\n"
            owner.wait_until(lambda: me.subscribers() == 2)
            try:
                child.send_signal(signal.SIGSTOP)
                for _ in range(12):
                    take(images, me.world.tick(30.0))
                status = me.status()["streams"][0]
            finally:
                child.kill()
            assert status["stalls"] == 1 and status["dropped"] > 0  # it was waited for once
        owner.wait_until(lambda: me.subscribers() == 1)
        take(images, me.world.tick(30.0))
        camera.stop()


def version_at(port: int) -> str:
    """Return the answer to `version`, by a client in a process of its own."""
    code = (
        "import carla, sys; c = carla.Client('127.0.0.1', int(sys.argv[1]), 1); "
        "c.set_timeout(30.0); print(c.get_server_version())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(port)], capture_output=True, text=True, timeout=90
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_taken_port_is_named(owner):
    with pytest.raises(ConnectError, match=rf"free port at 127.0.0.1:{owner.port}.*another --port"):
        CarlaProxy((owner.host, owner.port), Realizing(), port=owner.port)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    with pytest.raises(ConnectError, match="expected a server elsewhere than at the proxy's own"):
        CarlaProxy(("localhost", number), Realizing(), port=number)
    with pytest.raises(ConnectError, match="expected a host with an IPv4 address"):
        CarlaProxy(("no such host.invalid", 2000), Realizing(), port=0)


def test_the_command_serves_and_ends_in_order(blank_minitown):
    command = (sys.executable, "-m", "realmaster_live", "proxy", "--port", "0")
    upstream = ("--upstream", f"127.0.0.1:{blank_minitown.port}", "--engine", "identity")
    lifetime = ("--exit-with-parent", str(os.getpid()))
    with subprocess.Popen(
        (*command, *upstream, *lifetime), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        line = child.stdout.readline()
        assert line.startswith("proxy ready on 127.0.0.1:"), child.stderr.read()
        assert version_at(int(line.split()[3].rpartition(":")[2])) == "0.9.16"
        child.terminate()
        assert child.wait(60) == 128 + 15
