"""A proxy whose engines invert pictures, in a process of its own.

The carla client holds the interpreter's lock in some of its calls, so that a proxy in the same
process could not answer them. Takes JSON options as its argument; for each line on standard input
it writes one line of JSON: what its streams and engines do.
"""

import json
import logging
import sys
from dataclasses import asdict

from realmaster_live.bridges.carla.proxy.server import CarlaProxy
from realmaster_live.feeds.choice import CameraChoice
from realmaster_live.feeds.realizing import Realizing
from realmaster_live.feeds.shared_engines import SharedEngines
from realmaster_live.frames.chunk import Chunk, ChunkSpec

ENGINES = []


class Negative:
    """Inverts pictures."""

    def __init__(self, width: int, height: int, fps: float) -> None:
        self.spec = ChunkSpec(frames=2, width=width, height=height, fps=fps)
        self.closed = False
        ENGINES.append(self)

    def realize(self, chunk: Chunk) -> Chunk:
        return chunk.with_frames(255 - chunk.frames)

    def reset(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Negatives(Realizing):
    """Options whose engines invert pictures."""

    def engines(self) -> SharedEngines:
        return SharedEngines(Negative)


def main(port: int, policy: str, all_streams: bool, choice: dict) -> None:
    logging.basicConfig(level=logging.INFO)
    realizing = Negatives(policy=policy, cameras=CameraChoice(**choice))
    with CarlaProxy(("127.0.0.1", port), realizing, port=0, all_streams=all_streams) as proxy:
        print(proxy.port, flush=True)
        for _ in sys.stdin:
            streams = [
                {
                    "subscribers": len(hub._subscribers),
                    "dropped": sum(one.dropped for one in list(hub._subscribers)),
                    "stalls": sum(one.stalls for one in list(hub._subscribers)),
                    "feed": None if hub.feed is None else asdict(hub.feed.figures),
                }
                for hub in list(proxy._hubs.values())
            ]
            told = {"streams": streams, "engines": [engine.closed for engine in ENGINES]}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(**json.loads(sys.argv[1]))
