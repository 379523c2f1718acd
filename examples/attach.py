"""Attach to a running CARLA world and keep the realized pictures.

The world stays its owner's: on every way out the cameras are destroyed and the settings restored.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

import realmaster_live as rm


class Pictures:
    """A Sink of one's own: simulator left, realized right, one PNG a frame."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, chunk: rm.Chunk) -> None:
        """Save the frames under the simulator's frame numbers."""
        drawn = chunk.frames if chunk.rendered is None else chunk.rendered
        for number, left, right in zip(chunk.frame_ids, drawn, chunk.frames, strict=True):
            both = cv2.cvtColor(np.hstack([left, right]), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(self.folder / f"{number:08d}.png"), both)

    def close(self) -> None:
        """Nothing is held open."""


def main() -> None:
    """Attach, realize `--frames` frames, detach."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=2000)
    parser.add_argument("--ego", help="role name; the likeliest vehicle without it")
    parser.add_argument("--passive", action="store_true", help="somebody else ticks")
    parser.add_argument("--engine", default="embedded")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("attach-out"))
    args = parser.parse_args()
    with (
        rm.load_engine(args.engine, width=512, height=288) as engine,
        rm.CarlaBridge(
            args.host, args.port, ego=args.ego, width=512, height=288, synchronous=not args.passive
        ) as bridge,
    ):
        print(bridge.info)
        print(rm.run(bridge, engine, [Pictures(args.out)], max_frames=args.frames))


if __name__ == "__main__":
    main()
