"""What the system says of processes."""

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from realmaster_live.system.host import describe_host
from realmaster_live.system.processes import processor_s, start_of

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it has no /proc")


def test_a_process_has_a_start_and_takes_time_until_it_has_ended():
    spending = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", spending], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        assert 0.25 < processor_s(process.pid) < 10.0
        assert int(start_of(process.pid)) >= int(start_of(os.getpid()))
        process.communicate(b"\n")
    assert math.isnan(processor_s(process.pid)) and start_of(process.pid) == ""


def test_own_time_is_that_of_the_clock():
    assert processor_s(os.getpid()) == pytest.approx(time.process_time(), abs=0.1)


def test_the_processor_is_described_by_its_instructions():
    described = describe_host()
    flags = set(Path("/proc/cpuinfo").read_text().split())
    assert ("AVX2" in described["instructions"]) == ("avx2" in flags)
    assert ("AMX" in described["instructions"]) == ("amx_int8" in flags)
    assert len(set(described["instructions"])) == len(described["instructions"])
