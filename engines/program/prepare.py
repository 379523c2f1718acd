"""Prepares an export's four graphs for a compiler at one picture size and precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from realmaster_live.engines.manifest import graphs_of
from realmaster_live.engines.program.chunk_program import PAST, Ports, Sizes
from realmaster_live.engines.program.graph_weights import content_hash, read_graph, write_graphs
from realmaster_live.engines.program.plan_graphs import (
    add_euler_step,
    cast_bytes_at_borders,
    emulate_bfloat16,
    fix_sizes,
    ports_of,
    shape_of,
    to_bfloat16,
)

KEPT_SUFFIX = "_kv"  # keys and values, which have the products' type


def sizes_of(manifest: Mapping[str, Any], *, width: int, height: int, steps: int) -> Sizes:
    """Return the sizes of an exported model at a picture size."""
    profile, stride = manifest["profile"], manifest["token_stride"]
    return Sizes(
        rows=height // stride,
        columns=width // stride,
        latents=profile["chunk_latents"],
        sink=profile["sink"],
        ring=profile["ring"],
        sigmas=tuple(manifest["sigmas"][str(steps)]),
        rope_widths=tuple(manifest["rope_widths"]),
        rope_theta=float(profile["rope_theta"]),
        in_context=profile.get("flow_from", "noise") == "noise",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Graphs that were rewritten for a compiler, by name.

    Attributes:
        ports: their inputs and outputs.
        contents: hashes of graphs and weights.
    """

    ports: dict[str, Ports]
    contents: dict[str, str]


def prepare_graphs(
    exported: Path,
    out: Path,
    sizes: Sizes,
    *,
    precision: str,
    emulate: bool = False,
) -> Prepared:
    """Write an export's graphs for a compiler and return their description.

    `emulate` writes graphs that need no bfloat16 kernels.
    """
    half = sum(sizes.rope_widths) // 2
    table, past_table = (sizes.tokens, half), (PAST, half)
    shapes: dict[str, tuple[int | str, ...]] = {
        **{"cos": table, "sin": table, "past_cos": past_table, "past_sin": past_table},
    }
    symbols = {"rows": sizes.rows, "columns": sizes.columns}
    models: dict[str, onnx.ModelProto] = {}
    for name in graphs_of(sizes):
        model = models[name] = read_graph(exported / f"{name}.onnx")
        for value in model.graph.input:
            if value.name == "past_kv":
                *outer, _, width = shape_of(value)
                shapes["past_kv"] = (*outer, PAST, width)
        fix_sizes(model, shapes, symbols)
        cast_bytes_at_borders(model)
        if name == "denoise":
            add_euler_step(model)
        for value in model.graph.output:
            shapes[value.name] = shape_of(value)
        if precision != "fp32":
            values = (*model.graph.input, *model.graph.output)
            kept = [value.name for value in values if value.name.endswith(KEPT_SUFFIX)]
            to_bfloat16(model, kept)
            if emulate:
                emulate_bfloat16(model)
    prepared = Prepared(
        ports={name: ports_of(model) for name, model in models.items()},
        contents={name: content_hash(model) for name, model in models.items()},
    )
    write_graphs(models, out)
    return prepared
