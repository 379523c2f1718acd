import os
import signal

import pytest

from realmaster_live.system.termination import termination_raises


@pytest.mark.skipif(
    signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL, reason="SIGTERM is taken"
)
def test_a_second_signal_does_not_interrupt_the_clean_up_of_the_first():
    done = []
    for _ in range(2):  # and the next block begins anew
        with pytest.raises(SystemExit) as ended, termination_raises():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                done.append("cleaned up")
        assert ended.value.code == 128 + signal.SIGTERM
    assert done == ["cleaned up"] * 2
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
