"""Attach to a running CARLA world and film it: simulator left, realized right.

The world stays its owner's: on every way out the cameras are destroyed and the settings restored.
"""

import argparse
import time

import realmaster_live as rm


class Ages:
    """A sink of one's own: says how old each chunk is when it arrives."""

    def write(self, chunk: rm.Chunk) -> None:
        """Print the frame numbers and the age of a realized chunk."""
        age_ms = 1e3 * (time.monotonic() - chunk.captured_at[0])
        print(f"frames {chunk.frame_ids[0]} to {chunk.frame_ids[-1]}: {age_ms:.0f} ms old")

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
    parser.add_argument("--out", default="attach.mp4")
    args = parser.parse_args()
    with (
        rm.load_engine(args.engine, width=512, height=288) as engine,
        rm.CarlaBridge(
            args.host, args.port, ego=args.ego, width=512, height=288, synchronous=not args.passive
        ) as bridge,
    ):
        print(bridge.info)
        stats = rm.run(
            bridge, engine, [rm.SideBySideVideo(args.out), Ages()], max_frames=args.frames
        )
        print(stats)


if __name__ == "__main__":
    main()
