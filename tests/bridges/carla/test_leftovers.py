"""What killed clients leave is named at the next attach; `realmaster doctor --clean` ends it."""

import logging
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest

from realmaster_live.bridges.carla.bridge import CarlaBridge
from realmaster_live.bridges.carla.leftovers import clean, our_sensors
from realmaster_live.bridges.carla.ownership import ROLE, is_ours, owner_of, this_process
from realmaster_live.cli import main

CLIENT = """
from realmaster_live.bridges.carla.bridge import CarlaBridge
bridge = CarlaBridge("{host}", {port}, width=64, height=48, timeout_s=30.0, synchronous={ticks})
frames = bridge.frames()
next(frames)
print("running", flush=True)
import sys
sys.stdin.readline()
bridge.close()
"""


@contextmanager
def client(owner, *, ticks: bool):
    """Run an attach in a process of its own, whose four cameras deliver."""
    code = CLIENT.format(host=owner.host, port=owner.port, ticks=ticks)
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "running\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_role_name_states_its_process():
    me = this_process()
    assert is_ours(me.role_name) and owner_of(me.role_name) == me and me.liveness() == "alive"
    assert is_ours(ROLE) and owner_of(ROLE) is None
    assert not is_ours("realmasters") and not is_ours("hero")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert replace(me, pid=ended.pid).liveness() == "dead"
    assert replace(me, started=f"{me.started}0").liveness() == "dead"  # the number was used again
    assert replace(me, host="elsewhere").liveness() == "unknown"
    assert replace(me, namespace="container").liveness() == "unknown"
    for broken in (f"{ROLE}@", f"{ROLE}@a:b:c:d", f"{ROLE}@a:b", f"{ROLE}@:::"):
        assert owner_of(broken) is None


@pytest.mark.carla
def test_a_killed_client_that_ticked_is_cleaned_up_after(owner, capsys):
    before = owner.state()
    with client(owner, ticks=True) as process:
        process.kill()
        process.wait()
    assert owner.world.get_settings().synchronous_mode
    main(["doctor", "--host", owner.host, "--port", str(owner.port)])
    told = " ".join(capsys.readouterr().out.split())
    assert "synchronous, but no tick came in 2 s" in told and "doctor --clean" in told
    assert main(["doctor", "--clean", "--host", owner.host, "--port", str(owner.port)]) == 0
    text = capsys.readouterr().out
    assert "it runs freely again" in text and "4 cameras of killed clients destroyed" in text
    assert owner.state() == before
    assert main(["doctor", "--clean", "--host", owner.host, "--port", str(owner.port)]) == 0
    assert "nothing to put right" in capsys.readouterr().out


@pytest.mark.carla
def test_a_killed_passive_clients_cameras_are_named_at_the_next_attach(owner, caplog, capsys):
    before = owner.state()
    with client(owner, ticks=False) as process:
        process.kill()
        process.wait()
    with caplog.at_level(logging.WARNING):
        CarlaBridge(owner.host, owner.port, width=64, height=48, labels=(), timeout_s=30.0).close()
    (warning,) = [r.getMessage() for r in caplog.records if "killed" in r.getMessage()]
    assert "4 cameras of killed clients" in warning and f"--port {owner.port}" in warning
    main(["doctor", "--host", owner.host, "--port", str(owner.port)])
    told = " ".join(capsys.readouterr().out.split())
    assert "it runs freely, with 4 cameras of killed clients" in told and "doctor --clean" in told
    cleaning = clean(owner.host, owner.port)
    assert len(cleaning.done) == 1 and not cleaning.left
    assert owner.state() == before


@pytest.mark.carla
@pytest.mark.parametrize("ticks", [True, False])
def test_a_living_client_keeps_its_cameras_and_its_ticks(owner, ticks):
    before = owner.state()
    with client(owner, ticks=ticks) as process:
        blueprint = owner.world.get_blueprint_library().find("sensor.camera.rgb")
        blueprint.set_attribute("role_name", replace(this_process(), host="elsewhere").role_name)
        far = owner.world.spawn_actor(blueprint, owner.carla.Transform(), attach_to=owner.hero)
        cleaning = clean(owner.host, owner.port, tick_wait_s=0.5)
        assert not cleaning.done
        assert any(f"4 cameras of process {process.pid} on" in text for text in cleaning.left)
        assert any("on elsewhere: left, since only that host" in text for text in cleaning.left)
        assert ("may be pausing" in " ".join(cleaning.left)) is ticks
        assert owner.world.get_settings().synchronous_mode is ticks
        owner.wait_until(lambda: len(our_sensors(owner.world).owned) == 4)
        far.destroy()
        process.stdin.write("end\n")
        process.stdin.flush()
        assert process.wait(30) == 0
    assert owner.state() == before


@pytest.mark.carla
def test_a_still_world_is_named_at_the_next_attach(owner, caplog):
    with owner.synchronous(), caplog.at_level(logging.WARNING):
        CarlaBridge(owner.host, owner.port, width=64, height=48, labels=(), timeout_s=30.0).close()
        assert any("synchronous and nobody ticks it" in r.getMessage() for r in caplog.records)
        cleaning = clean(owner.host, owner.port, tick_wait_s=0.5)
        assert cleaning.done == (
            "the world was synchronous and nobody ticked it: it runs freely again",
        )
        assert not owner.world.get_settings().synchronous_mode


@pytest.mark.carla
def test_a_world_that_a_client_ticks_is_left_synchronous(owner):
    with owner.synchronous(), owner.ticking():
        cleaning = clean(owner.host, owner.port)
        assert not cleaning.done and not cleaning.left
        assert owner.world.get_settings().synchronous_mode
