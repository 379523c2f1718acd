"""Every error this package raises on purpose.

RealMasterError
  BridgeError            ActorError, ConnectError, FrameTimeout, SensorMismatch,
                         WireFormatError
  EngineError            BuildError, PlanMismatch, OutOfMemory
  RecordingError
  PairError              DiskFull
  ConfigError            also a ValueError
  MissingDependency      also an ImportError

A message says what was expected, what came, and what to do next, in one sentence.
"""

from __future__ import annotations


class RealMasterError(Exception):
    """Root of every error that realmaster_live raises on purpose."""


class BridgeError(RealMasterError):
    """A simulator could not be reached, read or restored."""


class ActorError(BridgeError):
    """A request names an actor, blueprint or value that the embedded town cannot take."""


class ConnectError(BridgeError):
    """No usable server answers at the host and port."""


class FrameTimeout(BridgeError):
    """A frame that was due did not arrive in time."""


class SensorMismatch(BridgeError):
    """The simulator's actors or sensors are not the ones that were asked for."""


class WireFormatError(BridgeError):
    """Bytes from a peer do not follow the protocol."""


class EngineError(RealMasterError):
    """An engine cannot be made, or cannot realize a chunk."""


class BuildError(EngineError):
    """An engine could not be built from its checkpoint or graphs."""


class PlanMismatch(EngineError):
    """A compiled engine belongs to another GPU, runtime, shape or checkpoint."""


class OutOfMemory(EngineError):
    """The device or the machine has too little memory for the engine."""


class RecordingError(RealMasterError):
    """A recording is missing, damaged, or cannot be written."""


class PairError(RealMasterError):
    """Footage or a training pair cannot be read or made."""


class DiskFull(PairError):
    """There is no room left for what is being made; nothing that was finished is lost."""


class ConfigError(RealMasterError, ValueError):
    """An option is unknown, out of range, or contradicts another."""


class MissingDependency(RealMasterError, ImportError):
    """An optional package is not installed."""


def reason(error: BaseException) -> str:
    """Return why something failed, as messages say it: without an error number, on one line."""
    return str(getattr(error, "strerror", None) or " ".join(str(error).split()))
