"""A client of the stand-in for the game, in a process or in this one."""

from contextlib import closing, contextmanager

from game_server import (
    HEIGHT,
    WIDTH,
    game,
    verb,
)

from realmaster_live.bridges.gtav.protocol.client import Address, connect
from realmaster_live.bridges.gtav.protocol.messages import (
    DatasetOptions,
    Scenario,
    Start,
    StartRecording,
)

FRAMES = 16  # of the recording that is played
FAST = DatasetOptions(
    rate=200.0, frame=(WIDTH, HEIGHT), speed=True, depth_buffer=True, stencil_buffer=True
)


@contextmanager
def served(scheme, *arguments):
    """Serve in a process; yields the address and the process."""
    with verb("gta-standin", f"{scheme}://127.0.0.1:0", *arguments) as (port, process):
        yield Address(scheme=scheme, host="127.0.0.1", port=port), process


@contextmanager
def playing(scheme, *arguments):
    """Serve in this process."""
    with game(scheme, *arguments) as url:
        yield Address.parse(url)


@contextmanager
def started(address, dataset=FAST, *, recording=True):
    with closing(connect(address, *dataset.picture_size())) as stream:
        stream.send(Start(scenario=Scenario(driving_mode=(786603, 15.0)), dataset=dataset))
        if recording and address.scheme == "deepgtav+zmq":
            stream.send(StartRecording())
        yield stream


def fresh(stream, count, seen=None):
    """Return so many recorded frames' fields and pictures, those before the recording left out.

    `seen` collects the fields of all.
    """
    found = []
    while len(found) < count:
        frame = stream.receive(30.0)
        if seen is not None:
            seen.append(frame.fields)
        if "CameraPosition" in frame.fields:
            found.append((dict(frame.fields), frame.image))
    return found
