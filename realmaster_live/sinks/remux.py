"""The program behind a `Relay` for servers that PyAV speaks to.

python -m realmaster_live.sinks.remux URL FORMAT LIMIT_S [OPTION=VALUE ...] < STREAM.nut

It connects once it has seen the first picture of a NUT stream, and sends those behind it. It ends
when the server takes longer than LIMIT_S over anything.
"""

from __future__ import annotations

import faulthandler
import os
import sys
from pathlib import Path

from realmaster_live.errors import reason
from realmaster_live.optional import require
from realmaster_live.sinks.relay import CONNECTED

av = require("av", extra="live")
PROBE = {"probesize": "32", "analyzeduration": "0"}  # the first picture tells everything


class Watchdog:
    """Ends the process when a block takes longer, whatever holds the interpreter's lock."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._nowhere = Path(os.devnull).open("w")  # for the traceback  # noqa: SIM115

    def __enter__(self) -> None:
        faulthandler.dump_traceback_later(self._limit_s, exit=True, file=self._nowhere)

    def __exit__(self, *exception: object) -> None:
        faulthandler.cancel_dump_traceback_later()


def pass_on(url: str, form: str, limit_s: float, options: dict[str, str]) -> None:
    """Send the stream of standard input to a server; raises what FFmpeg raises."""
    watchdog = Watchdog(limit_s)
    with av.open("pipe:0", format="nut", options=PROBE) as given:
        pictures = given.demux(video=0)
        start = next(pictures).pts
        with watchdog:
            taken = av.open(url, "w", format=form, options=options)
            stream = taken.add_stream_from_template(given.streams.video[0])
            taken.start_encoding()
        sys.stderr.write(f"{CONNECTED}\n")
        for packet in pictures:
            if packet.pts is not None:  # the last one is empty
                packet.pts = packet.dts = packet.pts - start
                packet.stream = stream
                with watchdog:
                    taken.mux(packet)
        with watchdog:
            taken.close()


def main(url: str, form: str, limit_s: str, *options: str) -> None:
    """Run the program."""
    try:
        pass_on(url, form, float(limit_s), dict(one.split("=", 1) for one in options))
    except (av.FFmpegError, OSError) as error:
        sys.exit(reason(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
