"""GTA-V through a capture harness: live, over a relay, or from recordings."""
