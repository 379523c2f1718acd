"""The graph runs and copies that realize a chunk, on buffers at fixed addresses.

A program knows the graphs' inputs and outputs but not the device that runs them, so ONNX Runtime
in host memory and TensorRT in GPU memory run the same program.

Legend: N tokens of a chunk, P tokens of the past, L layers, D channels of a head.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from realmaster_live.engines.slots import Slots, growing_moves
from realmaster_live.errors import BuildError
from realmaster_live.model.rope import rope_tables

ALIGNMENT = 512  # bytes; TensorRT requires 256
ITEM_BYTES = {"float32": 4, "bfloat16": 2, "uint8": 1, "int64": 8, "bool": 1}
PAST = "past"  # the one dynamic dimension, and part of its tensors' names

WIRES = {  # (graph, input or output) -> buffer, where the names differ
    ("encode", "frames"): "captured",
    ("encode", "memory"): "encoder_memory",
    ("encode", "next_memory"): "next_encoder_memory",
    ("encode", "latent"): "reference",
    ("decode", "latent"): "sample",
    ("decode", "memory"): "decoder_memory",
    ("decode", "next_memory"): "next_decoder_memory",
    ("decode", "frames"): "realized",
}
STEP_INPUTS = ("timestep", "factor")  # one constant per denoise step, and one for the commit
PAST_INPUTS = ("past_kv", "past_cos", "past_sin")
MEMORIES = ("encoder_memory", "decoder_memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """An input or output of a graph; one dimension of `shape` may be the text "past"."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str

    def at(self, past: int) -> tuple[int, ...]:
        """Return the shape for a number of past tokens."""
        return tuple(past if isinstance(size, str) else size for size in self.shape)

    def bytes_at(self, past: int) -> int:
        """Return the size in bytes for a number of past tokens."""
        return math.prod(self.at(past)) * ITEM_BYTES[self.dtype]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return {"name": self.name, "shape": list(self.shape), "dtype": self.dtype}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Port:
        """Return the port from `as_dict`'s values."""
        return cls(name=fields["name"], shape=tuple(fields["shape"]), dtype=fields["dtype"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The inputs and outputs of one graph, in its order."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the ports as plain JSON values."""
        return {
            "inputs": [port.as_dict() for port in self.inputs],
            "outputs": [port.as_dict() for port in self.outputs],
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Ports:
        """Return the ports from `as_dict`'s values."""
        inputs, outputs = (
            tuple(Port.from_dict(each) for each in fields[side]) for side in ("inputs", "outputs")
        )
        return cls(inputs=inputs, outputs=outputs)


class Device(Protocol):
    """What runs a program's graphs and copies; addresses are in the device's own memory."""

    def run(self, graph: str, past: int, addresses: Mapping[str, int]) -> None:
        """Run a graph on the addresses of its inputs and outputs, with `past` past tokens."""

    def copy(self, target: int, source: int, count: int) -> None:
        """Copy bytes that do not overlap."""

    def copy_rows(self, target: int, source: int, pitch: int, width: int, rows: int) -> None:
        """Copy packed rows of `width` bytes to rows that begin `pitch` bytes apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What a program must know about a model besides its graphs.

    Attributes:
        rows: tokens from top to bottom. columns: from left to right.
        latents: latent frames of a chunk.
        sink: first chunks that stay. ring: last chunks that stay.
        sigmas: noise levels of the steps, from 1 to 0.
        rope_widths: channels of a head that rotate with t, y and x. rope_theta: their base.
        in_context: whether targets attend to tokens of the reference; else the flow starts at it.
    """

    rows: int
    columns: int
    latents: int
    sink: int
    ring: int
    sigmas: tuple[float, ...]
    rope_widths: tuple[int, ...]
    rope_theta: float
    in_context: bool = True

    @property
    def tokens(self) -> int:
        """Return the tokens of a chunk."""
        return self.rows * self.columns * self.latents

    @property
    def lengths(self) -> tuple[int, ...]:
        """Return the possible numbers of past tokens, 0 first."""
        return tuple(self.tokens * held for held in range(self.sink + self.ring + 1))

    def rope(self, times: Sequence[float]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the rotary tables of chunks at the given times, counted in chunks."""
        frames = [time * self.latents + frame for time in times for frame in range(self.latents)]
        return rope_tables(
            frames, self.rows, self.columns, widths=self.rope_widths, theta=self.rope_theta
        )


class Layout:
    """Named, non-overlapping buffers in one block of memory."""

    def __init__(self) -> None:
        self.bytes = 0
        self._places: dict[str, tuple[int, int]] = {}

    def add(self, name: str, count: int) -> None:
        """Reserve a buffer; adding a name again must not ask for more bytes."""
        if name in self._places:
            assert count <= self._places[name][1], name
            return
        self._places[name] = (self.bytes, count)
        self.bytes += -(-max(count, 1) // ALIGNMENT) * ALIGNMENT

    def __contains__(self, name: str) -> bool:
        """Return whether a buffer has this name."""
        return name in self._places

    def __iter__(self) -> Any:
        """Iterate over the names."""
        return iter(self._places)

    def offset(self, name: str) -> int:
        """Return a buffer's offset in bytes."""
        return self._places[name][0]

    def size(self, name: str) -> int:
        """Return a buffer's size in bytes."""
        return self._places[name][1]


class ChunkProgram:
    """The passes of a chunk over named buffers: encode, context, denoise, decode and commit.

    When the next chunk comes, `settle` and `advance` make this one part of the past; until then
    denoise, decode and commit can be run again from other noise.

    Attributes:
        layout: the buffers' places in one block of memory.
        constants: values of the buffers that never change, by name.
        external: inputs that no graph produces and the caller sets, by name, such as a prompt's.
        slots: which earlier chunks the ring cache holds.
        pending: whether a committed chunk is not yet part of the past.
    """

    def __init__(self, graphs: Mapping[str, Ports], sizes: Sizes) -> None:
        self.graphs, self.sizes = graphs, sizes
        self.slots = Slots(sink=sizes.sink, ring=sizes.ring)
        self.pending = False
        self.layout = Layout()
        self.constants: dict[str, NDArray[Any]] = {}
        self.external: dict[str, Port] = {}
        self._constants()
        self._buffers()
        kept = next(port for port in graphs["denoise"].outputs if port.name == "target_kv")
        *outer, _, width = kept.at(0)
        self._rows = math.prod(outer)
        self._row_bytes = sizes.tokens * width * ITEM_BYTES[kept.dtype]
        self.layout.add("one_row", self._row_bytes * max(sizes.sink + sizes.ring, 1))

    @property
    def latent(self) -> Port:
        """Return the port of the latent that the noise is drawn for."""
        return next(port for port in self.graphs["denoise"].inputs if port.name == "sample")

    @property
    def past(self) -> int:
        """Return the number of past tokens that the next chunk attends to."""
        return self.sizes.tokens * self.slots.held

    def reset(self) -> None:
        """Clear the past; the caller also zeroes the `MEMORIES`."""
        self.slots = Slots(sink=self.sizes.sink, ring=self.sizes.ring)
        self.pending = False

    def encode(self, device: Device, base: int) -> None:
        """Encode the captured frames."""
        self._run(device, base, "encode")
        self._carry(device, base, "encoder_memory")

    def context(self, device: Device, base: int) -> None:
        """Compute the reference's keys and values, if targets attend to it."""
        if self.sizes.in_context:
            self._run(device, base, "context")

    def denoise(self, device: Device, base: int) -> None:
        """Denoise from noise, or from the render's latent, to the clean latent."""
        for step in range(len(self.sizes.sigmas) - 1):
            self._run(device, base, "denoise", step=str(step), **self._samples(step))

    def decode(self, device: Device, base: int) -> None:
        """Decode the latent to realized frames."""
        self._run(device, base, "decode", sample=self._clean)

    def commit(self, device: Device, base: int) -> None:
        """Compute the clean target's keys and values into `target_kv`, if they are to stay."""
        if self.slots.target is not None:
            self._run(
                device,
                base,
                "denoise",
                step="commit",
                sample=self._clean,
                next_sample="spare_sample",
            )

    def settle(self, device: Device, base: int) -> None:
        """Copy the results of decode and commit into the past, over the oldest chunk.

        `advance` then updates the bookkeeping.
        """
        self._carry(device, base, "decoder_memory")
        self.place(device, base)

    def place(self, device: Device, base: int) -> None:
        """Write `target_kv` into its slot; grow the past first while it is not full."""
        slot, after = self.slots.target, self.slots.push()
        if slot is None:
            return
        past, size = base + self.layout.offset("past_kv"), self._row_bytes
        if after.held > self.slots.held:
            scratch, old = base + self.layout.offset("one_row"), size * self.slots.held
            for start, end in growing_moves(self._rows, old, size * after.held) if old else ():
                device.copy(scratch, past + start, old)
                device.copy(past + end, scratch, old)
        source = base + self.layout.offset("target_kv")
        device.copy_rows(past + slot * size, source, size * after.held, size, self._rows)

    def advance(self) -> None:
        """Advance the slots and rotary tables to the next chunk."""
        self.slots = self.slots.push()
        self.pending = False

    def addresses(
        self, graph: str, base: int, *, step: str = "commit", **renamed: str
    ) -> dict[str, int]:
        """Return the address of each input and output of a graph."""
        ports = self.graphs[graph]
        return {
            port.name: base + self.layout.offset(self._buffer(graph, port.name, step, renamed))
            for port in (*ports.inputs, *ports.outputs)
        }

    def _run(self, device: Device, base: int, graph: str, **options: str) -> None:
        device.run(graph, self.past, self.addresses(graph, base, **options))

    def _carry(self, device: Device, base: int, name: str) -> None:
        """Copy a graph's memory output to its input for the next chunk."""
        if name in self.layout:
            target, source = (base + self.layout.offset(each) for each in (name, f"next_{name}"))
            device.copy(target, source, self.layout.size(name))

    def _samples(self, step: int) -> dict[str, str]:
        """Return a step's input and output buffers: the flow's start, then two that alternate."""
        start = "noise" if self.sizes.in_context else "reference"
        sample = f"sample.{step % 2}" if step else start
        return {"sample": sample, "next_sample": f"sample.{(step + 1) % 2}"}

    @property
    def _clean(self) -> str:
        """Return the name of the buffer that holds the clean latent."""
        return f"sample.{(len(self.sizes.sigmas) - 1) % 2}"

    def _buffer(self, graph: str, port: str, step: str, renamed: Mapping[str, str]) -> str:
        """Return the name of the buffer behind an input or output."""
        name = WIRES.get((graph, port), port)
        if name in renamed:
            return renamed[name]
        if name in STEP_INPUTS:
            return f"{name}.{step}"
        if name in ("past_cos", "past_sin"):
            return f"{name}.{self.slots.chunks}"
        return name

    def _constants(self) -> None:
        """Compute the timesteps, the factors of the Euler steps and the rotary tables."""
        levels = self.sizes.sigmas
        for step, (t, t_next) in enumerate(pairwise(levels)):
            self.constants[f"timestep.{step}"] = np.full(1, t, np.float32)
            self.constants[f"factor.{step}"] = np.full(1, (t_next - t) / t, np.float32)
        for name in STEP_INPUTS:
            self.constants[f"{name}.commit"] = np.zeros(1, np.float32)
        self.constants["cos"], self.constants["sin"] = self.sizes.rope([0.0])
        for state in self.slots.states():
            cos, sin = self.sizes.rope(state.times)
            self.constants[f"past_cos.{state.chunks}"] = cos
            self.constants[f"past_sin.{state.chunks}"] = sin

    def _buffers(self) -> None:
        """Reserve every buffer; inputs that no graph produces become `external`."""
        for name, values in self.constants.items():
            self.layout.add(name, values.nbytes)
        longest = self.sizes.lengths[-1]
        made = {
            WIRES.get((graph, port.name), port.name)
            for graph, ports in self.graphs.items()
            for port in ports.outputs
        }
        known = {*made, *MEMORIES, *STEP_INPUTS, *PAST_INPUTS}
        known |= {"captured", "sample", "noise", "cos", "sin"}
        for graph, ports in self.graphs.items():
            for port in (*ports.inputs, *ports.outputs):
                name = WIRES.get((graph, port.name), port.name)
                if name == "sample":
                    for each in ("noise", "sample.0", "sample.1", "spare_sample"):
                        self.layout.add(each, port.bytes_at(0))
                elif name not in ("next_sample", *STEP_INPUTS, "past_cos", "past_sin"):
                    if name not in known:
                        self.external[name] = port
                    self.layout.add(name, port.bytes_at(longest))
        missing = [
            name for name in ("captured", "realized", "target_kv") if name not in self.layout
        ]
        if missing:
            raise BuildError(
                f"expected graphs with {', '.join(missing)}, got {sorted(self.graphs)} without: "
                "export the checkpoint again with this version"
            )
