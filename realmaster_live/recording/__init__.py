"""The driving sequence on disk: Recorder writes it, Recording plays it back."""

from realmaster_live.recording.about import About, Meta
from realmaster_live.recording.playback import Recording
from realmaster_live.recording.recorder import Recorder

__all__ = ["About", "Meta", "Recorder", "Recording"]
