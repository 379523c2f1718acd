"""What a server does before its town is ready, and when the process that started it is gone."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgpack
import pytest

from realmaster_live.bridges.carla.wire.rpc import Request, encode_request

SERVER = [sys.executable, "-m", "realmaster_live", "minitown", "--port", "0"]
PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen(
    [*sys.argv[1:], "--no-raster", "--exit-with-parent", str(os.getpid())],
    stdout=subprocess.PIPE, text=True,
)
print(child.pid, child.stdout.readline(), flush=True)
time.sleep(600)
"""


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def ask(port, name, *args):
    """Return the answer of one call, None while nobody listens yet."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30.0) as sock:
            sock.sendall(encode_request(Request(1, name, False, list(args))))
            return msgpack.unpackb(sock.recv(4096))
    except ConnectionError:
        return None


def test_while_the_town_is_built_the_version_is_answered_and_calls_are_refused():
    port = free_port()
    command = [*SERVER[:-1], str(port), "--seed", "31"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            while (answer := ask(port, "version")) is None:
                assert process.poll() is None
            assert answer == [1, 1, None, [[1, "0.9.16"]]]
            refusal = ask(port, "get_episode_info")[3][0]
            assert refusal[0] == 0 and "compiling" in refusal[1][0]
            refusal = ask(port, "load_new_episode", "Town01", True, 0)[3][0]
            assert refusal[0] is True and "compiling" in refusal[1][0]
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            assert b"compile" in process.stderr.read()
        finally:
            process.kill()


@pytest.mark.skipif(os.name == "nt", reason="orphans have no new parent there")
def test_a_server_ends_with_the_process_that_started_it():
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, *SERVER], stdout=subprocess.PIPE, text=True
    ) as parent:
        try:
            server = int(parent.stdout.readline().split()[0])
        finally:
            parent.kill()
    deadline = time.monotonic() + 30.0
    while running(server):
        assert time.monotonic() < deadline, "the server outlives its parent"
        time.sleep(0.1)


def running(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1]
        return state.split()[0] != "Z"
    except OSError:
        return False
