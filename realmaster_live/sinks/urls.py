"""The URLs that `--to` takes: which sinks there are, and what the parts of a URL mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from realmaster_live.errors import ConfigError
from realmaster_live.optional import require

if TYPE_CHECKING:
    from realmaster_live.sinks.background import BeginningSink


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """One kind of sink.

    Attributes:
        form: how its URL is written. module: of this package; its `from_url` makes the sink.
        policy: what happens when the sink is late.
        extra: of the distribution, which brings what the sink imports.
    """

    form: str
    module: str
    policy: Literal["block", "drop_oldest"] = "drop_oldest"
    extra: str = "live"


SCHEMES: Mapping[str, Scheme] = {
    "ros2": Scheme(form="ros2:[DOMAIN][/NAMESPACE]", module="ros2", extra="ros2"),
    "rosbag": Scheme(form="rosbag:DIR", module="rosbag", policy="block", extra="ros2"),
    "mcap": Scheme(form="mcap:FILE", module="mcap_file", policy="block", extra="foxglove"),
    "foxglove": Scheme(form="foxglove:[HOST:PORT]", module="foxglove_server", extra="foxglove"),
    "rerun": Scheme(form="rerun:[FILE.rrd|serve|HOST:PORT]", module="rerun", extra="rerun"),
    "rtsp": Scheme(form="rtsp://HOST:PORT/PATH", module="push"),
    "srt": Scheme(form="srt://HOST:PORT", module="push"),
    "rtmp": Scheme(form="rtmp://HOST/APP/KEY", module="push"),
    "camera": Scheme(form="camera:[DEVICE]", module="virtual_camera", extra="camera"),
    "shm": Scheme(form="shm:NAME", module="shared_memory"),
    "zmq": Scheme(form="zmq://HOST:PORT", module="zeromq", extra="zmq"),
    "video": Scheme(form="video:FILE.mp4", module="video", policy="block"),
}
FORMS = ", ".join(scheme.form for scheme in SCHEMES.values())


@dataclass(frozen=True, kw_only=True)
class SinkUrl:
    """A URL of `--to`.

    Attributes:
        text: the whole of it. scheme: a key of SCHEMES. rest: what stands behind the colon.
    """

    text: str
    scheme: str
    rest: str

    @classmethod
    def parse(cls, text: str) -> SinkUrl:
        """Return the parts of a URL; ConfigError, which lists all schemes, where it is none."""
        scheme, colon, rest = text.partition(":") if isinstance(text, str) else ("", "", "")
        if not colon or scheme not in SCHEMES or "\0" in text:
            raise ConfigError(f"expected a URL such as {FORMS}, got {text!r}: give one of them")
        return cls(text=text, scheme=scheme, rest=rest)

    @property
    def kind(self) -> Scheme:
        """Its scheme."""
        return SCHEMES[self.scheme]

    @property
    def name(self) -> str:
        """The URL as figures and logs show it: without passwords and stream keys."""
        if not self.rest.startswith("//"):
            return self.text
        host, slash, path = self.rest[2:].partition("/")
        if self.scheme == "rtmp":
            path = path.partition("/")[0]  # behind it is the key
        return f"{self.scheme}://{host.rpartition('@')[2]}{slash}{path}".partition("?")[0]

    @property
    def path(self) -> Path:
        """The rest as a path; ConfigError where there is none."""
        if not self.rest:
            raise self.wrong("nothing behind the colon")
        return Path(self.rest)

    def address(self, host: str, port: int) -> tuple[str, int]:
        """Return host and port of a rest such as HOST:PORT, :PORT or HOST, with defaults."""
        text = self.rest.removeprefix("//")
        given, colon, number = text.rpartition(":")
        if not colon:
            given, number = text, str(port)
        if not number.isdecimal() or int(number) > 65535:
            raise self.wrong(f"{number!r} for a port")
        return given.removeprefix("[").removesuffix("]") or host, int(number)

    def make(self) -> BeginningSink:
        """Return its sink, which is not open yet; MissingDependency names the extra it needs."""
        module = require(f"realmaster_live.sinks.{self.kind.module}", extra=self.kind.extra)
        sink: BeginningSink = module.from_url(self)
        return sink

    def wrong(self, got: str) -> ConfigError:
        """Return the error of a URL of this scheme."""
        return ConfigError(f"expected {self.kind.form}, got {got} in {self.text!r}: correct it")
