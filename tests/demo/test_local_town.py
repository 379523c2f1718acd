"""A town in a process of its own: how its start is waited for, and what is said where it fails."""

import os
import sys

import pytest

from realmaster_live.demo import local_town
from realmaster_live.errors import ConnectError

STARTS = {
    # says something from time to time, for longer than it may be silent
    "slow": "for _ in range(14): time.sleep(0.5); print('compiling', file=sys.stderr, flush=True)\n"
    "print('minitown ready on 127.0.0.1:4321 (...)', flush=True); time.sleep(60)",
    "silent": "print('building', file=sys.stderr, flush=True); time.sleep(60)",
    "failing": "sys.exit('expected a port, got none: give one')",
}


@pytest.fixture
def town(tmp_path, monkeypatch):
    """The function that enters the context of a town which starts in such a way."""
    monkeypatch.setattr(local_town, "LOOK_S", 0.1)

    def start(kind, silent_s):
        monkeypatch.setattr(local_town, "SILENT_S", silent_s)
        program = tmp_path / "program"
        program.write_text(f"#!{sys.executable}\nimport sys, time\n{STARTS[kind]}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        return local_town.local_town(seed=1, vehicles=0, walkers=0)

    return start


@pytest.mark.skipif(os.name != "posix", reason="the program is a script")
def test_a_start_that_goes_on_is_waited_for(town):
    with town("slow", 5.0) as port:
        assert port == 4321


@pytest.mark.skipif(os.name != "posix", reason="the program is a script")
def test_a_start_that_says_nothing_more_is_ended(town):
    with (
        pytest.raises(ConnectError, match=r"got nothing for 1 s after 'building'"),
        town("silent", 1.0),
    ):
        pass


@pytest.mark.skipif(os.name != "posix", reason="the program is a script")
def test_a_start_that_fails_gives_its_own_sentence(town):
    said = r"got exit status 1 and 'expected a port, got none: give one': run realmaster minitown"
    with pytest.raises(ConnectError, match=said), town("failing", 60.0):
        pass
