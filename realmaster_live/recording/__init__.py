"""The driving sequence on disk: Recorder writes it, Recording plays it back."""

from realmaster_live.recording.about import About, Camera, Meta
from realmaster_live.recording.playback import Recording
from realmaster_live.recording.recorder import Recorder
from realmaster_live.recording.repair import Repaired, repair
from realmaster_live.recording.sample import Sample
from realmaster_live.recording.verify import Findings, verify

__all__ = [
    "About",
    "Camera",
    "Findings",
    "Meta",
    "Recorder",
    "Recording",
    "Repaired",
    "Sample",
    "repair",
    "verify",
]
