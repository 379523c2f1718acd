"""Programs of CARLA's own kinds, unchanged: on the town itself, under inject, through the proxy."""

import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager

import carla_programs
import pytest

pytestmark = [pytest.mark.carla, pytest.mark.slow]
OURS = (sys.executable, "-m", "realmaster_live")
READY = re.compile(r"proxy ready on [\w.]+:(\d+)")


@contextmanager
def way(name: str, port: int):
    """Give the port to dial, and what goes before a program."""
    if name == "proxy":
        options = ("--upstream", f"127.0.0.1:{port}", "--port", "0", "--all-streams")
        options += ("--exit-with-parent", str(os.getpid()))
        with subprocess.Popen(
            (*OURS, "proxy", *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as child:
            try:
                yield int(READY.search(child.stdout.readline())[1]), ()
            finally:
                child.terminate()
    else:
        yield port, (*OURS, "inject", "--") if name == "inject" else ()


@pytest.mark.parametrize("name", ["town", "inject", "proxy"])
def test_programs_do_the_same_by_every_way(blank_minitown, name):
    expected = {
        "synchronous": {"images": 12},
        "manual_control": {"images": 20, "moved": True},
        "traffic": {"vehicles": 4, "moved": True},
        "recorder": {"frames": True},
        "two_clients": {"images": 6},
    }
    done = {}
    with way(name, blank_minitown.port) as (port, before):
        for kind in carla_programs.KINDS:
            program = (sys.executable, carla_programs.__file__, kind, str(port))
            ended = subprocess.run((*before, *program), capture_output=True, text=True, timeout=120)
            assert ended.returncode == 0, f"{kind}: {ended.stderr}"
            done[kind] = json.loads(ended.stdout)
    assert done == expected
