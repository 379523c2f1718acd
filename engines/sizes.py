"""The sizes of pictures and chunks that a model accepts, and the errors for all others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import EngineError, OutOfMemory
from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.model.profile import Profile
from realmaster_live.system.host import total_bytes

LEAST_BYTES = 100  # a pixel of a chunk, of any network on the CPU: the embedded one takes 150


def fitting_sizes(width: int, height: int, stride: int = 32) -> list[tuple[int, int]]:
    """Return the (width, height) next to a size whose sides are multiples of `stride`.

    The nearest comes first. A size that fits is the only result.
    """

    def around(side: int) -> list[int]:
        lower = max(stride, side // stride * stride)
        return [lower] if lower >= side else [lower, lower + stride]

    sizes = [(w, h) for w in around(width) for h in around(height)]
    return sorted(sizes, key=lambda size: (abs(size[0] - width) + abs(size[1] - height), size))


def fitting(width: int, height: int, stride: int) -> str:
    """Return the sizes next to one that a model accepts, as text."""
    return " or ".join(f"{w}x{h}" for w, h in fitting_sizes(width, height, stride))


def check_size(width: int, height: int, stride: int) -> None:
    """Raise EngineError for a size that is not a multiple of a model's token stride."""
    if width % stride or height % stride or min(width, height) < stride:
        raise EngineError(
            f"expected a width and height that are multiples of {stride}, got "
            f"{width}x{height}: use {fitting(width, height, stride)}"
        )


def spec_of(profile: Profile, width: int, height: int, fps: float) -> ChunkSpec:
    """Return a profile's chunks at a size; EngineError if the size does not fit the profile."""
    check_size(width, height, profile.token_stride)
    return ChunkSpec(
        frames=profile.chunk_frames,
        first_frames=profile.first_frames,
        height=height,
        width=width,
        fps=fps,
    )


def check_fits(spec: ChunkSpec, bytes_a_pixel: int = LEAST_BYTES) -> None:
    """Raise OutOfMemory if a chunk's pixels need more than all the memory of this machine."""
    least, total = spec.frames * spec.height * spec.width * bytes_a_pixel, total_bytes()
    if least > total:
        raise OutOfMemory(
            f"expected pictures that fit in {total / 2**30:.0f} GiB of memory, got "
            f"{spec.width}x{spec.height}, of which a chunk takes {least / 2**30:.0f} GiB or more: "
            "use a smaller size"
        )


def spec_text(spec: ChunkSpec) -> str:
    """Return the size and length of an engine's chunks, for its repr."""
    return f"{spec.width}x{spec.height}, chunks of {spec.frames} at {spec.fps:g} a second"


def check_frames(chunk: Chunk, spec: ChunkSpec, stride: int, count: int) -> None:
    """Raise EngineError for a chunk of another size, or of another number of frames."""
    expected = (count, spec.height, spec.width, 3)
    if chunk.frames.shape != expected:
        _, height, width, _ = chunk.frames.shape
        raise EngineError(
            f"expected frames of shape {expected}, got {chunk.frames.shape}: make the engine "
            f"for {fitting(width, height, stride)} and chunk the frames by engine.spec"
        )


def check_cameras(cameras: int) -> None:
    """Raise EngineError for a number of cameras that no engine can have."""
    if cameras < 1:
        raise EngineError(f"expected an engine for 1 camera or more, got {cameras}: name a number")


def check_together(chunks: Sequence[Chunk], cameras: int) -> None:
    """Raise EngineError unless there is a chunk of each camera, all of one shape."""
    if len(chunks) != cameras:
        got = ", ".join(chunk.camera for chunk in chunks) or "none"
        raise EngineError(
            f"expected a chunk of each of {cameras} cameras, got {len(chunks)} ({got}): give "
            "realize_together one of each, or make the engine for as many cameras"
        )
    first = chunks[0]
    for chunk in chunks[1:]:
        if chunk.frames.shape != first.frames.shape:
            raise EngineError(
                f"expected chunks of one size and length, got {first.frames.shape} of "
                f"{first.camera} and {chunk.frames.shape} of {chunk.camera}: make an engine for "
                "each size, and give the chunks of the same ticks"
            )


def filled(frames: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Return what a chunk has of each frame; of a short first chunk the first is repeated."""
    missing = count - len(frames)
    return np.concatenate((np.repeat(frames[:1], missing, 0), frames)) if missing else frames


def chunk_spans(spec: ChunkSpec, count: int) -> list[slice]:
    """Return the slices of the whole chunks among the first `count` frames after a reset."""
    starts = range(spec.first_frames, count - spec.frames + 1, spec.frames)
    later = [slice(start, start + spec.frames) for start in starts]
    return [slice(0, spec.first_frames), *later] if count >= spec.first_frames else []
