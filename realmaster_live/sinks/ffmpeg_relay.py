"""The ffmpeg program between us and a server whose protocol PyAV's wheels lack, such as SRT."""

from __future__ import annotations

import contextlib
import selectors
import shutil
import subprocess
import time

from realmaster_live.errors import ConfigError

INPUT = "nut"  # a container for pipes
CONNECTED = b"Output #0"  # how ffmpeg says that it has opened its output
PROBE = ("-probesize", "32", "-analyzeduration", "0", "-fflags", "nobuffer")
END_S = 2.0  # how long it may take to end


class FfmpegRelay:
    """A file to write a NUT stream to, whose packets ffmpeg passes on as they are.

    Args:
        url: of the server.

    Raises:
        ConfigError: there is no ffmpeg program.
    """

    def __init__(self, url: str) -> None:
        program = shutil.which("ffmpeg")
        scheme = url.partition(":")[0]
        if program is None:
            raise ConfigError(
                f"expected the program ffmpeg for {scheme}, which PyAV's wheels are built without, "
                "got none: install ffmpeg"
            )
        self._process = subprocess.Popen(
            [
                *(program, "-hide_banner", "-nostats", *PROBE, "-f", INPUT, "-i", "pipe:0"),
                *("-c", "copy", "-f", "mpegts", "-flush_packets", "1", url),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            bufsize=0,
        )

    def write(self, data: bytes) -> int:
        """Pass bytes on; raises BrokenPipeError once ffmpeg has ended."""
        assert self._process.stdin is not None
        left = memoryview(data)
        while left:
            left = left[self._process.stdin.write(left) or 0 :]
        return len(data)

    def wait_until_connected(self, timeout_s: float) -> None:
        """Wait until the server takes the stream; OSError where it does not."""
        deadline, output = time.monotonic() + timeout_s, b""
        while CONNECTED not in output:
            more = self._read(max(0.0, deadline - time.monotonic()))
            if not more:
                late = time.monotonic() >= deadline
                lines = output.decode(errors="replace").strip().splitlines()
                raise ConnectionError("no answer" if late or not lines else lines[-1])
            output += more

    def drain(self) -> None:
        """Discard what ffmpeg has written, so that it never waits for us to read it."""
        while self._read(0.0):
            pass

    def _read(self, timeout_s: float) -> bytes:
        """Return what ffmpeg says in a time, b"" for nothing."""
        assert self._process.stderr is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stderr, selectors.EVENT_READ)
            return self._process.stderr.read(4096) if selector.select(timeout_s) else b""

    def close(self) -> None:
        """End ffmpeg; may be called twice."""
        for pipe in (self._process.stdin, self._process.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
