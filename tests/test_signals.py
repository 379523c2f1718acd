"""Tests of interruptions hold wherever pytest is started from."""

import subprocess
import sys
from pathlib import Path

PROBE = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
IGNORE = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)


def test_processes_of_tests_can_be_interrupted():
    out = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "True"


def test_also_from_a_shell_that_ignores_interruptions():
    """As `nohup make test &` does."""
    test = f"{__file__}::{test_processes_of_tests_can_be_interrupted.__name__}"
    command = ["-m", "pytest", "-p", "no:cacheprovider", test]
    run = subprocess.run(
        [sys.executable, "-c", IGNORE, *command],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout
