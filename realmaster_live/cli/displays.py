"""How options of other packages that several verbs take appear on the command line."""

from __future__ import annotations

from typing import Annotated

from realmaster_live.cli.values import Fields, Flag
from realmaster_live.sinks.opening import DisplayOptions
from realmaster_live.telemetry.options import TelemetryOptions

Telemetry = Annotated[
    TelemetryOptions,
    Fields(metrics=(Flag(metavar="[HOST:]PORT"),), traces=(Flag(metavar="URL"),)),
]
Displays = Annotated[DisplayOptions, Fields(to=(Flag(metavar="URL"),))]
