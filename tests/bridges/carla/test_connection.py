"""Asking a server for its world."""

import pytest

from realmaster_live.bridges.carla.connection import open_world
from realmaster_live.errors import ConnectError

pytestmark = pytest.mark.carla


class Starting:
    """Of carla's client, what asks for the world, which is there from the third question on."""

    def __init__(self, questions):
        self.questions = questions

    def get_world(self):
        self.questions -= 1
        if self.questions > 0:
            raise RuntimeError("still building")
        return "a world"


def test_a_server_that_is_still_starting_is_asked_again(owner):
    assert open_world(Starting(3), owner.host, owner.port, timeout_s=60.0) == "a world"
    patient = Starting(10**6)
    with pytest.raises(ConnectError, match=r"within 1 s, got still building: wait until the map"):
        open_world(patient, owner.host, owner.port, timeout_s=1.0)
    assert patient.questions < 10**6 - 1
