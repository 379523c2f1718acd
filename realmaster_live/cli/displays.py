"""How the options for what is shown while it runs appear on the command line."""

from __future__ import annotations

from typing import Annotated

from realmaster_live.cli.values import Fields, Flag
from realmaster_live.sinks.opening import DisplayOptions

Displays = Annotated[DisplayOptions, Fields(to=(Flag(metavar="URL"),))]
