import subprocess
import sys

# In a process of its own: threads of other tests may still hold the signals.
TWICE = """
import os, signal
from realmaster_live.system.termination import termination_raises

for _ in range(2):  # and the next block begins anew
    try:
        with termination_raises():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                print("cleaned up")
    except SystemExit as end:
        print(end.code - signal.SIGTERM)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""


def test_a_second_signal_does_not_interrupt_the_clean_up_of_the_first():
    done = subprocess.run([sys.executable, "-c", TWICE], capture_output=True, text=True, timeout=60)
    assert done.stdout.split("\n")[:4] == ["cleaned up", "128"] * 2, done.stderr
    assert done.returncode == 0
