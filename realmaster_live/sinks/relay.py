"""A program between us and a server, so that a server that says nothing holds up that program only.

PyAV keeps the interpreter's lock while it opens, heads and ends a stream, and FFmpeg's RTMP waits
for its server without a limit.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Sequence

CONNECTED = "Output #0"  # how a program says that the server takes the stream; ffmpeg's own words
END_S = 2.0  # how long it may take to end


class Relay:
    """A file to write a NUT stream to, whose packets a program passes on as they are.

    Args:
        command: of the program, which reads the stream from its standard input, and ends by itself
            if the server takes nothing for a while.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # an interrupt is for the run, which ends the stream itself
        )
        self._is_connected = False
        self._said = "no answer"
        self._settled = threading.Event()
        self._listener = threading.Thread(target=self._listen, name="rm-relay", daemon=True)
        self._listener.start()

    def write(self, data: bytes) -> int:
        """Pass bytes on; ConnectionError, which says why, once the program has ended."""
        assert self._process.stdin is not None
        left = memoryview(data)
        try:
            while left:
                left = left[self._process.stdin.write(left) or 0 :]
        except OSError as error:
            self._settled.wait(END_S)
            raise ConnectionError(self._said) from error
        return len(data)

    def wait_until_connected(self, timeout_s: float) -> None:
        """Wait until the server takes the stream; ConnectionError where it does not."""
        self._settled.wait(timeout_s)
        if not self._is_connected:
            raise ConnectionError(self._said)

    def close(self) -> None:
        """End the program; may be called twice."""
        assert self._process.stdin is not None and self._process.stderr is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(END_S)
        self._process.stderr.close()

    def _listen(self) -> None:
        """Read all that the program says, so that it never waits for us; keep its last line."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.decode(errors="replace").strip()
            if text.startswith(CONNECTED):
                self._is_connected = True
                self._settled.set()
            elif text:
                self._said = text
        self._settled.set()
