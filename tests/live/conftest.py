"""What tests of the live loop share."""

import threading

import pytest


@pytest.fixture
def no_thread_is_left_behind():
    """Every thread that a test starts has ended when it ends."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    assert not left
