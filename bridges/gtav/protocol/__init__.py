"""DeepGTAV's protocol and its forks: frames, messages, our stamp, both ends of a connection."""

from realmaster_live.optional import require

require("msgspec", extra="gta")  # whoever lacks it is told the command before a module fails
