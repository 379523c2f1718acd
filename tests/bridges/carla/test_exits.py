"""Every way out leaves the server as it was; every way in says what is wrong."""

import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

import msgpack
import pytest

from realmaster_live.bridges.carla.bridge import CarlaBridge
from realmaster_live.bridges.carla.connection import Versions, check_versions
from realmaster_live.errors import ConnectError, SensorMismatch
from realmaster_live.system.termination import ExitGuard, deferred_signals

pytestmark = pytest.mark.carla

CLIENT = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
from realmaster_live.bridges.carla.bridge import CarlaBridge
bridge = CarlaBridge("{host}", {port}, width=160, height=96, timeout_s=30.0)
{setup}
for count, frame in enumerate(bridge.frames()):
    if count == 3:
        print("running", flush=True)
        {then}
"""


def run_client(owner, *, setup: str = "", then: str = "pass", kill: int | None = None) -> int:
    code = CLIENT.format(host=owner.host, port=owner.port, setup=textwrap.dedent(setup), then=then)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n", process.communicate()[1]
        if kill is not None:
            settings = owner.world.get_settings()
            assert settings.synchronous_mode and settings.fixed_delta_seconds == 0.05
            process.send_signal(kill)
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    return process.returncode


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_killed_client_leaves_the_world_as_it_was(owner, number):
    before = owner.state()
    code = run_client(owner, kill=number)  # without `with`: only the guard can clean up
    assert code == (-number if number == signal.SIGINT else 128 + number)
    assert owner.state() == before


def test_a_client_that_raises_leaves_the_world_as_it_was(owner):
    before = owner.state()
    assert run_client(owner, then="raise RuntimeError('mine')") == 1
    assert owner.state() == before


def test_a_client_that_just_ends_leaves_the_world_as_it_was(owner):
    before = owner.state()
    assert run_client(owner, then="sys.exit(7)") == 7
    assert owner.state() == before


def test_a_killed_client_whose_other_thread_reads_the_frames_cleans_up(owner):
    before = owner.state()
    setup = """
    import threading, time
    def read():
        for count, frame in enumerate(bridge.frames()):
            if count == 3:
                print("running", flush=True)
    threading.Thread(target=read).start()
    time.sleep(60)
    """
    # SystemExit unwinds the main thread only; leaving `with` there is what ends the reader.
    setup = setup.replace("time.sleep(60)", "with bridge: time.sleep(60)")
    assert run_client(owner, setup=setup, kill=signal.SIGTERM) == 128 + signal.SIGTERM
    assert owner.state() == before


def test_a_program_with_its_own_handler_keeps_it(owner):
    before = owner.state()
    setup = """
    bridge.close()
    def mine(number, frame):
        raise SystemExit(42)
    signal.signal(signal.SIGTERM, mine)
    bridge = CarlaBridge(bridge._session.host, bridge._session.port, labels=(), timeout_s=30.0)
    assert signal.getsignal(signal.SIGTERM) is mine
    """
    assert run_client(owner, setup=setup, kill=signal.SIGTERM) == 42
    assert owner.state() == before


def test_guards_put_the_defaults_back_after_the_last_one():
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    first, second = ExitGuard(lambda: None), ExitGuard(lambda: None)
    first.arm()
    second.arm()
    with pytest.raises(SystemExit) as caught:
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.code == 128 + signal.SIGTERM
    first.disarm()
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    second.disarm()
    second.disarm()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_closed_bridge_gives_the_signals_back(owner):
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    with CarlaBridge(owner.host, owner.port, labels=(), timeout_s=30.0):
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_guard_armed_in_another_thread_leaves_signals_alone():
    guard = ExitGuard(lambda: None)
    thread = threading.Thread(target=guard.arm)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    guard.disarm()


def test_signals_during_clean_up_wait_for_its_end():
    done = []
    with pytest.raises(KeyboardInterrupt), deferred_signals():
        signal.raise_signal(signal.SIGINT)
        done.append("cleaned")
    assert done == ["cleaned"]


@pytest.mark.parametrize("synchronous", [True, False])
def test_the_death_of_the_server_ends_the_frames(doomed, synchronous):
    bridge = CarlaBridge(
        doomed.host, doomed.port, labels=("depth",), synchronous=synchronous, timeout_s=20.0
    )
    frames = bridge.frames()
    for _ in range(3):
        next(frames)
    doomed.town.kill()
    started = time.monotonic()
    with pytest.raises(ConnectError, match="start it and attach again"):
        for _ in frames:
            pass
    bridge.close()
    assert time.monotonic() - started < 16.0  # none of it waits for an answer


@pytest.mark.parametrize("synchronous", [True, False])
def test_frames_continue_in_the_world_that_somebody_else_loads(owner, synchronous):
    with CarlaBridge(
        owner.host, owner.port, ego="hero", synchronous=synchronous, timeout_s=30.0
    ) as bridge:
        frames = bridge.frames()
        old = [next(frames) for _ in range(3)]
        old_camera = bridge.cameras["front"].picture
        reload(owner)
        new = [next(frames) for _ in range(20)]  # some of the old world may still be on the way
        cut = [frame for frame in new if frame.dropped_before]
        assert cut and bridge.cameras["front"].picture is not old_camera
        assert bridge.ego.id == owner.hero.id
        assert new[-1].timestamp != old[-1].timestamp
    owner.wait_until(lambda: not owner.sensors())
    assert not owner.world.get_settings().synchronous_mode


def test_a_loaded_world_without_the_vehicle_is_an_error(owner):
    with CarlaBridge(owner.host, owner.port, ego="hero", labels=(), timeout_s=5.0) as bridge:
        frames = bridge.frames()
        next(frames)
        reload(owner, vehicle=False)
        with pytest.raises(SensorMismatch, match="expected the vehicle 'hero'"):
            for _ in frames:
                pass


def reload(owner, *, vehicle: bool = True) -> None:
    owner.world = owner.client.load_world(owner.world.get_map().name)
    owner.forget()
    if vehicle:
        owner.hero = owner.spawn_vehicle("hero")


def test_no_server_says_what_to_start():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConnectError, match=rf"CARLA server at 127.0.0.1:{port} .* start Carla"):
        CarlaBridge(port=port)


def test_a_port_that_speaks_something_else_says_so():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(ConnectError, match=r"no answer to `version` within 0\.5 s"):
            CarlaBridge(port=port, timeout_s=0.5)


def test_another_release_is_refused_by_its_answer_to_version_alone():
    asked = []

    def answer(server: socket.socket) -> None:
        server.accept()[0].close()  # the first connection only asks whether anybody is there
        connection = server.accept()[0]
        unpacker = msgpack.Unpacker()
        with connection:
            while data := connection.recv(4096):
                unpacker.feed(data)
                for _, number, name, _ in unpacker:
                    asked.append(name)
                    connection.sendall(msgpack.packb([1, number, None, [[1, "0.9.13"]]]))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,), daemon=True)
        thread.start()
        with pytest.raises(ConnectError, match=r"got 0\.9\.13: start a server of release 0\.9\."):
            CarlaBridge(port=server.getsockname()[1], timeout_s=30.0)
        thread.join(60)
    assert asked == ["version"]


def test_builds_of_one_release_may_differ(caplog):
    check_versions(Versions(client="0.9.16", server="0.9.16-12-g0a1b2c3"))
    assert "different builds" in caplog.text
    with pytest.raises(ConnectError, match=r"start a server of release 0\.9\.16"):
        check_versions(Versions(client="0.9.16", server="b04e3a1"))
