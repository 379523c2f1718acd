"""The contracts of the live loop; a user's own class needs no import of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

from realmaster_live.frames.chunk import Chunk, ChunkSpec, Frame
from realmaster_live.frames.run_info import RunInfo

if TYPE_CHECKING:
    from numpy.typing import NDArray


@runtime_checkable
class Source(Protocol):
    """Where frames come from: a simulator, a game, a recording."""

    def frames(self) -> Iterator[Frame]:
        """Yield frames in order until the source ends; blocks while the next one is due."""

    def close(self) -> None:
        """Release and restore everything; may be called twice."""


@runtime_checkable
class Sink(Protocol):
    """Where realized chunks go: a recording, a viewer, the simulator's own user."""

    def write(self, chunk: Chunk) -> None:
        """Take one realized chunk; `chunk.rendered` holds what the simulator drew."""

    def close(self) -> None:
        """Finish and release; may be called twice."""


@runtime_checkable
class RunSink(Sink, Protocol):
    """A sink that is opened before the first chunk and gets a description of the run.

    `run` opens every sink that is not open and closes it at the end. A sink that its owner has
    opened, as a context manager or by an earlier run's `begin`, stays open: its owner closes it.
    """

    @property
    def is_open(self) -> bool:
        """Whether somebody has opened it and nobody has closed it yet."""

    def begin(self, run: RunInfo) -> None:
        """Open the sink unless it is open; called with each run before its first chunk."""


@runtime_checkable
class Bridge(Source, Sink, Protocol):
    """A simulator that both gives frames and takes the realized ones back."""


@runtime_checkable
class Engine(Protocol):
    """What makes a captured chunk photoreal."""

    @property
    def spec(self) -> ChunkSpec:
        """The chunks this engine takes."""

    def realize(self, chunk: Chunk) -> Chunk:
        """Return `chunk.with_frames(...)`; carries state from one chunk to the next."""

    def reset(self) -> None:
        """Forget all earlier chunks: call it after a gap, a cut or a teleport."""

    def close(self) -> None:
        """Release the device; may be called twice."""


@runtime_checkable
class PromptedEngine(Engine, Protocol):
    """An engine that takes prompts, such as the weather to show."""

    def set_prompt(self, prompt: str, fade_chunks: int = 0) -> None:
        """Set the prompt from the next chunk on, cross-fading over `fade_chunks` chunks."""


@runtime_checkable
class AdaptedEngine(Engine, Protocol):
    """An engine whose adapters can be made stronger and weaker."""

    @property
    def strength(self) -> float:
        """The factor on the adapters' strengths; 0 is the model without them."""

    @property
    def fixed_strength(self) -> str:
        """Why the strength cannot be set, as a sentence; "" where it can."""

    def set_strength(self, strength: float) -> None:
        """Set the factor from the next chunk on; EngineError where it is fixed."""


@runtime_checkable
class SeededEngine(Engine, Protocol):
    """An engine whose noise can be drawn from another seed while it runs."""

    @property
    def seed(self) -> int:
        """The seed of the noise."""

    def set_seed(self, seed: int) -> None:
        """Draw from another seed from the next chunk on."""


@runtime_checkable
class RememberingEngine(Engine, Protocol):
    """An engine whose past can be stored, so that a long rollout goes on in another process."""

    def memory(self) -> Mapping[str, NDArray[Any]]:
        """Return all that later chunks depend on besides the prompt and the seed."""

    def recall(self, memory: Mapping[str, NDArray[Any]]) -> None:
        """Go on as if the chunks before `memory` had just been realized."""


@runtime_checkable
class LoadedEngine(PromptedEngine, Protocol):
    """An engine that was loaded by its name: a context manager that closes it."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(self, *exception: object) -> None:
        """Close it."""


@runtime_checkable
class SharingEngine(PromptedEngine, Protocol):
    """An engine whose weights several cameras can share."""

    def sibling(self) -> Self:
        """Return an engine over the same weights with a past of its own, as after `reset`.

        Each is closed for itself; the weights go with the last one.
        """


@runtime_checkable
class RigEngine(Protocol):
    """An engine for several cameras of one size: their weights, prompt and seed are the same.

    Each camera has a past of its own. `run` takes one under the names of its cameras.
    """

    @property
    def spec(self) -> ChunkSpec:
        """The chunks of each camera."""

    @property
    def cameras(self) -> int:
        """How many cameras there are."""

    def realize_together(self, chunks: tuple[Chunk, ...]) -> tuple[Chunk, ...]:
        """Return the chunks realized: those of the same ticks, one of each camera.

        The cameras come in the same order every time. Each picture is as an engine for its camera
        alone would make it, within rounding.
        """

    def set_prompt(self, prompt: str, fade_chunks: int = 0) -> None:
        """Set the prompt of all cameras from the next chunks on."""

    def reset(self) -> None:
        """Forget all earlier chunks of all cameras."""

    def close(self) -> None:
        """Release the device; may be called twice."""


@runtime_checkable
class RetryingEngine(Engine, Protocol):
    """An engine that can realize its last chunk from other noise."""

    def realize_again(self, chunk: Chunk, seed: int) -> Chunk:
        """Return the chunk that was realized last, from the noise of another seed.

        The new answer takes the last one's place in all that the engine carries on; the chunks
        after it draw from the engine's own seed again. The seed of `realize` gives its answer.
        Raises EngineError where nothing was realized since a reset.
        """
