"""The options of `realmaster inject` and `realmaster proxy`: which cameras, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from realmaster_live.cli.values import Count, Flag, Value, read_size
from realmaster_live.feeds.policies import DEFAULT, LatencyPolicy

if TYPE_CHECKING:
    from realmaster_live.feeds.realizing import Realizing

Size = Annotated[
    tuple[int, int], Value(read=read_size, expected="a size such as 512x288", metavar="WxH")
]


@dataclass(frozen=True, kw_only=True)
class RealizingOptions:
    """Which cameras are realized, and how.

    Attributes:
        engine: What realizes the pictures: embedded, identity, or the folder of an exported model,
            a build or a checkpoint.
        policy: What a listener gets while a chunk is not realized yet: hold gives every image at
            once with the newest photoreal pixels; delay gives each with its own, late; lockstep
            ticks through a whole chunk; frame realizes each image alone; two_pass records, and
            realizes afterwards.
        size: Size at which the pictures are realized. Without it, each camera's own, rounded to
            multiples of 32.
        prompt: The weather or look to show, such as rain. Without it, what the simulator shows.
        record: With two_pass, the folder that gets one recording for each camera.
        role: Realize cameras with this role name only. This may be repeated.
        camera_size: Realize cameras of this size only. This may be repeated.
        count: Realize this many cameras at most, those that listen first.
    """

    engine: Annotated[str, Flag(metavar="NAME|DIR")] = "embedded"
    policy: LatencyPolicy = DEFAULT
    size: tuple[int, int] | None = None
    prompt: str | None = None
    record: Path | None = None
    role: Annotated[tuple[str, ...], Flag(metavar="NAME")] = ()
    camera_size: tuple[Size, ...] = ()
    count: Count | None = None

    def realizing(self) -> Realizing:
        """Return the options as the ways in take them; raise ConfigError where they clash."""
        from realmaster_live.feeds.choice import CameraChoice
        from realmaster_live.feeds.realizing import Realizing

        choice = CameraChoice(roles=self.role, sizes=self.camera_size, count=self.count)
        return Realizing(
            engine=self.engine,
            policy=self.policy,
            size=self.size,
            prompt=self.prompt,
            record=self.record and self.record.absolute(),
            cameras=choice,
        )
