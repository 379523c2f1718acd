"""Rewrites exported graphs for a compiler: plain weights, fixed sizes, explicit precision.

An export stores its weights as float16 with casts and leaves the picture size dynamic. A strongly
typed compiler takes precision from the graph alone. So products are rewritten to bfloat16, with
float32 between them, as under torch's autocast.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

from realmaster_live.engines.program.chunk_program import Port, Ports
from realmaster_live.engines.program.graph_weights import (
    STORED_DTYPE,
    drop_unused_weights,
    round_to_bfloat16,
)
from realmaster_live.errors import BuildError

Precision = Literal["fp32", "bf16"]
PRODUCTS = ("MatMul", "Gemm", "Conv", "Attention")
TIMESTEP = "timestep"
NARROW_SUFFIX = ".bfloat16"
SMALL = 64  # largest number of values of a constant that shape inference folds
SHAPE_OPERATORS = (
    *("Add", "Cast", "Concat", "Div", "Expand", "Gather", "Mul", "Reshape", "Slice", "Squeeze"),
    *("Sub", "Unsqueeze"),
)


def shape_of(value: onnx.ValueInfoProto) -> tuple[int | str, ...]:
    """Return a tensor's dimensions; a dynamic one is its name or expression."""
    return tuple(d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim)


def fix_sizes(
    model: onnx.ModelProto, shapes: Mapping[str, Sequence[int | str]], symbols: Mapping[str, int]
) -> None:
    """Fix the sizes of a graph's inputs and infer those of its outputs, in place.

    Args:
        model: the graph.
        shapes: input name -> shape; dimensions that are text stay dynamic.
        symbols: name of a dynamic dimension of other inputs, such as rows -> value.

    Raises:
        BuildError: a dimension stays unknown.
    """
    for value in model.graph.input:
        shape = shapes.get(value.name) or [_evaluate(d, symbols) for d in shape_of(value)]
        unknown = [d for d in shape if isinstance(d, str) and value.name not in shapes]
        if unknown or len(shape) != len(shape_of(value)):
            raise BuildError(
                f"expected sizes for input {value.name} of {model.graph.name or 'the graph'}, got "
                f"{tuple(shape)} for {shape_of(value)}: export the checkpoint again with this "
                "version"
            )
        _set_shape(value, shape)
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    while _fold_shapes(model):
        pass
    for value in model.graph.output:
        if any(isinstance(d, str) or d < 0 for d in shape_of(value)):
            raise BuildError(
                f"expected a size for every dimension of output {value.name}, got "
                f"{shape_of(value)}: export the checkpoint again with this version"
            )


def _fold_shapes(model: onnx.ModelProto) -> bool:
    """Infer shapes and fold nodes that only depend on them; return whether anything changed."""
    graph = model.graph
    inferred = shape_inference.infer_shapes(model, strict_mode=True).graph
    for value, known in zip(graph.output, inferred.output, strict=True):
        value.CopyFrom(known)
    shapes = {v.name: shape_of(v) for v in (*inferred.value_info, *inferred.input)}
    small = {t.name: t for t in graph.initializer if np.prod(t.dims) <= SMALL}
    kept: list[onnx.NodeProto] = []
    for node in graph.node:
        shape = shapes.get(node.input[0]) if node.op_type == "Shape" else None
        if shape is not None and all(isinstance(d, int) for d in _sliced(node, shape)):
            values = np.asarray(_sliced(node, shape), np.int64)
        elif node.op_type in SHAPE_OPERATORS and all(n in small for n in node.input if n):
            values = _outputs(node, [small[n] for n in node.input if n], model)
        else:
            kept.append(node)
            continue
        small[node.output[0]] = numpy_helper.from_array(values, node.output[0])
        graph.initializer.append(small[node.output[0]])
    folded = len(kept) < len(graph.node)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(kept)
    drop_unused_weights(model)
    return folded


def _sliced(node: onnx.NodeProto, shape: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return the dimensions that a Shape node yields."""
    places: dict[str, int] = {str(each.name): int(each.i) for each in node.attribute}
    return shape[places.get("start", 0) : places.get("end", len(shape))]


def _outputs(
    node: onnx.NodeProto, inputs: Sequence[onnx.TensorProto], model: onnx.ModelProto
) -> NDArray[Any]:
    """Return a node's outputs for constant inputs."""
    graph = helper.make_graph(
        [node], "constant", [], [onnx.ValueInfoProto(name=node.output[0])], inputs
    )
    alone = helper.make_model(graph, opset_imports=model.opset_import)
    answers: Any = ReferenceEvaluator(alone).run(None, {})
    return np.asarray(answers[0])


def _evaluate(dimension: int | str, symbols: Mapping[str, int]) -> int | str:
    """Return the value of an expression such as 32*rows, or the text if a name is unknown."""
    if isinstance(dimension, int):
        return dimension
    number = 1
    for factor in dimension.split("*"):
        if factor.isdecimal():
            number *= int(factor)
        elif factor in symbols:
            number *= symbols[factor]
        else:
            return dimension
    return number


def _set_shape(value: onnx.ValueInfoProto, shape: Sequence[int | str]) -> None:
    kind = value.type.tensor_type.elem_type
    value.CopyFrom(helper.make_tensor_value_info(value.name, kind, list(shape)))


def cast_bytes_at_borders(model: onnx.ModelProto) -> None:
    """Cast uint8 inputs to float directly, and cast to uint8 only at the outputs, in place.

    TensorRT supports uint8 for inputs and outputs only. Every uint8 value is exact in float32.
    """
    graph = model.graph
    first, last = [], []
    for value in graph.input:
        if value.type.tensor_type.elem_type == TensorProto.UINT8:
            wide = f"{value.name}.wide"
            _rename_uses(graph.node, value.name, wide)
            first.append(helper.make_node("Cast", [value.name], [wide], to=TensorProto.FLOAT))
    for node in graph.node:
        if node.op_type == "Cast" and _attribute(node, "to") == TensorProto.UINT8:
            node.attribute[0].i = TensorProto.FLOAT
    for value in graph.output:
        if value.type.tensor_type.elem_type == TensorProto.UINT8:
            wide = f"{value.name}.wide"
            for node in graph.node:
                node.output[:] = [wide if name == value.name else name for name in node.output]
            last.append(helper.make_node("Cast", [wide], [value.name], to=TensorProto.UINT8))
    nodes = [*first, *graph.node, *last]
    del graph.node[:]
    graph.node.extend(nodes)


def add_euler_step(
    model: onnx.ModelProto, *, sample: str = "sample", clean: str = "x0", factor: str = "factor"
) -> None:
    """Add the Euler step x + factor (x - x0) to a denoise graph, in place.

    The step is that of k_diffusion's `sample_euler` with factor = (t_next - t) / t. Its output is
    `next_sample`, so no other kernel has to run on the device.
    """
    graph = model.graph
    shape = next(shape_of(value) for value in graph.output if value.name == clean)
    graph.node.extend(
        [
            helper.make_node("Sub", [sample, clean], ["euler.noise"]),
            helper.make_node("Mul", ["euler.noise", factor], ["euler.change"]),
            helper.make_node("Add", [sample, "euler.change"], ["next_sample"]),
        ]
    )
    graph.input.append(helper.make_tensor_value_info(factor, TensorProto.FLOAT, [1]))
    graph.output.append(
        helper.make_tensor_value_info("next_sample", TensorProto.FLOAT, list(shape))
    )


def to_bfloat16(model: onnx.ModelProto, narrow: Iterable[str] = ()) -> None:
    """Make matrix products compute in bfloat16, in place.

    Everything else stays float32: norms, modulations, rotations, the inputs of softmax, residual
    sums, and the products that depend on the timestep alone (the time embedder).

    Args:
        model: a float32 graph.
        narrow: graph inputs and outputs that become bfloat16, if present.
    """
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    follows = {value.name for value in graph.input} - {TIMESTEP}
    rounded: dict[str, str] = {}
    narrowed: dict[str, onnx.TensorProto] = {}
    nodes: list[onnx.NodeProto] = []
    narrow = set(narrow)
    for value in graph.input:
        if value.name in narrow:
            value.type.tensor_type.elem_type = TensorProto.BFLOAT16
            wide = f"{value.name}.wide"
            _rename_uses(graph.node, value.name, wide)
            nodes.append(helper.make_node("Cast", [value.name], [wide], to=TensorProto.FLOAT))
            follows.add(wide)
    for node in graph.node:
        if follows.isdisjoint(node.input):
            nodes.append(node)
            continue
        follows.update(node.output)
        if node.op_type not in PRODUCTS:
            nodes.append(node)
            continue
        for place, name in enumerate(node.input):
            if not name:
                continue
            if name in weights:
                node.input[place] = f"{name}{NARROW_SUFFIX}"
                if node.input[place] not in narrowed:
                    narrowed[node.input[place]] = _bfloat16(weights[name], node.input[place])
                continue
            if name not in rounded:
                rounded[name] = f"{name}{NARROW_SUFFIX}"
                to = TensorProto.BFLOAT16
                nodes.append(helper.make_node("Cast", [name], [rounded[name]], to=to))
            node.input[place] = rounded[name]
        answer = node.output[0]
        node.output[0] = f"{answer}.product"
        nodes.append(node)
        nodes.append(helper.make_node("Cast", [node.output[0]], [answer], to=TensorProto.FLOAT))
    for value in graph.output:
        if value.name in narrow:
            value.type.tensor_type.elem_type = TensorProto.BFLOAT16
            wide = f"{value.name}.wide"
            for node in nodes:
                node.output[:] = [wide if name == value.name else name for name in node.output]
            _rename_uses(nodes, value.name, wide)
            nodes.append(helper.make_node("Cast", [wide], [value.name], to=TensorProto.BFLOAT16))
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)
    graph.initializer.extend(narrowed.values())
    drop_unused_weights(model)


def emulate_bfloat16(model: onnx.ModelProto) -> None:
    """Rewrite a bfloat16 graph to run without bfloat16 kernels, in place.

    Like a GPU's matrix units, every product multiplies the rounded values and sums in float32, and
    rounds its result.
    """
    graph = model.graph
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type not in PRODUCTS or not any(n.endswith(NARROW_SUFFIX) for n in node.input):
            nodes.append(node)
            continue
        for place, name in enumerate(node.input):
            if name.endswith(NARROW_SUFFIX):
                wide = f"{node.output[0]}.{place}"
                nodes.append(helper.make_node("Cast", [name], [wide], to=TensorProto.FLOAT))
                node.input[place] = wide
        answer = node.output[0]
        node.output[0] = f"{answer}.exact"
        cast = helper.make_node("Cast", [node.output[0]], [answer], to=TensorProto.BFLOAT16)
        nodes += [node, cast]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes)


def ports_of(model: onnx.ModelProto) -> Ports:
    """Return the inputs and outputs of a graph whose sizes are fixed."""

    def port(value: onnx.ValueInfoProto) -> Port:
        kind = TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
        name = {"float": "float32"}.get(kind, kind)
        return Port(name=value.name, shape=shape_of(value), dtype=name)

    graph = model.graph
    return Ports(inputs=tuple(map(port, graph.input)), outputs=tuple(map(port, graph.output)))


def _bfloat16(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    """Return an initializer rounded to bfloat16; external data is rounded when it is read."""
    if tensor.data_location == TensorProto.EXTERNAL:
        outside = TensorProto()
        outside.CopyFrom(tensor)
        outside.name, outside.data_type = name, TensorProto.BFLOAT16
        if all(entry.key != STORED_DTYPE for entry in outside.external_data):
            outside.external_data.add(key=STORED_DTYPE, value="float32")
        return outside
    rounded = round_to_bfloat16(numpy_helper.to_array(tensor))
    return TensorProto(
        name=name, data_type=TensorProto.BFLOAT16, dims=tensor.dims, raw_data=rounded.tobytes()
    )


def _rename_uses(nodes: Iterable[onnx.NodeProto], name: str, other: str) -> None:
    for node in nodes:
        node.input[:] = [other if each == name else each for each in node.input]


def _attribute(node: onnx.NodeProto, name: str) -> Any:
    return next(helper.get_attribute_value(a) for a in node.attribute if a.name == name)
