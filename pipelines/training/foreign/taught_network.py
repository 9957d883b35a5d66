"""A bundle's network with another last layer: cut at what its last dense layer is given, as the page cuts its own graph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipelines.training.foreign.contract import Scores
from registry.errors import InputError, shorten
from serving.bundle.bundle import Bundle
from serving.export.graphs import IR, OPSET
from serving.export.onnx import INPUT

_OUTPUT = "probabilities"
_DENSE = {"Gemm", "MatMul"}
_AFTER = {"Softmax", "Identity", "Add", "Reshape", "Flatten", "Squeeze", "Cast"}
"""What may stand between the last dense layer and the probabilities: nothing that mixes features anew."""
_REMEDY = "register the network itself as ONNX"


def cut_network(bundle: Bundle, subject: object) -> onnx.ModelProto:
    """From `tensor`, as the bundle's preprocessing makes it, to the features: float32 `[batch, features]`.

    Raises InputError for a bundle without a dense layer at its end.
    """
    path = bundle.variants.get("onnx-tensor", bundle.onnx)
    model = onnx.load(path)
    graph = model.graph
    if _OUTPUT not in {value.name for value in graph.output}:
        raise InputError(subject, "was taught on a network that is no classifier", _REMEDY)
    features = _features(graph, subject)
    nodes = _up_to(graph, features)
    used = {name for node in nodes for name in _taken_by(node)}
    flat = _free_name("features", {name for node in nodes for name in (*node.input, *node.output)})
    size, layout = bundle.preprocess.size, bundle.preprocess.layout
    shape = ["batch", 3, size, size] if layout == "NCHW" else ["batch", size, size, 3]
    cut = helper.make_graph(
        [*nodes, helper.make_node("Flatten", [features], [flat], axis=1)],
        "taught",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(flat, TensorProto.FLOAT, ["batch", None])],
        [tensor for tensor in graph.initializer if tensor.name in used],
    )
    return helper.make_model(cut, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)


def width_of(cut: onnx.ModelProto, subject: object) -> int:
    """How many features a cut network gives, by its answer to one black picture."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    shape = [size.dim_value or 1 for size in cut.graph.input[0].type.tensor_type.shape.dim]
    try:
        session = onnxruntime.InferenceSession(cut.SerializeToString(), options, ["CPUExecutionProvider"])
        (features,) = session.run(None, {INPUT: np.zeros(shape, np.float32)})
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise InputError(subject, f"was taught on a network that cannot be run ({shorten(error, 120)})", _REMEDY) from error
    return int(np.asarray(features).shape[1])


def with_head(cut: onnx.ModelProto, kernel: Scores, bias: NDArray[np.float32]) -> onnx.ModelProto:
    """A cut network with a dense layer, `kernel` `[features, labels]`, and a softmax behind it."""
    model = onnx.ModelProto()
    model.CopyFrom(cut)
    graph, features = model.graph, cut.graph.output[0].name
    taken = {tensor.name for tensor in graph.initializer} | {name for node in graph.node for name in node.output}
    weights, offsets, logits = (_free_name(name, taken) for name in ("taught_kernel", "taught_bias", "taught_logits"))
    graph.node.append(helper.make_node("Gemm", [features, weights, offsets], [logits]))
    graph.node.append(helper.make_node("Softmax", [logits], [_OUTPUT], axis=1))
    graph.initializer.extend([numpy_helper.from_array(kernel, weights), numpy_helper.from_array(bias, offsets)])
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, ["batch", len(bias)]))
    return model


def _features(graph: onnx.GraphProto, subject: object) -> str:
    """The value that the last dense layer is given."""
    made_by = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name for tensor in graph.initializer}
    constants |= {name for node in graph.node if node.op_type == "Constant" for name in node.output}
    node = made_by.get(_OUTPUT)
    while node is not None and node.op_type in _AFTER:
        computed = [name for name in node.input if name not in constants] if node.op_type == "Add" else [node.input[0]]
        node = made_by.get(computed[0]) if len(computed) == 1 else None
    if node is None or node.op_type not in _DENSE or node.input[0] in constants:
        raise InputError(subject, "was taught on a network that does not end in a dense layer", _REMEDY)
    return node.input[0]


def _up_to(graph: onnx.GraphProto, features: str) -> list[onnx.NodeProto]:
    """The nodes that compute a value from `tensor`; what makes a tensor of an image is left out."""
    needed, nodes = {features}, list[onnx.NodeProto]()
    for node in reversed(graph.node):  # in ONNX a node stands behind those that it takes from
        if needed & set(node.output) and INPUT not in node.output:
            nodes.append(node)
            needed.update(_taken_by(node))
    return nodes[::-1]


def _taken_by(node: onnx.NodeProto) -> Iterator[str]:
    """What a node takes, with what the graphs within it take from outside."""
    yield from node.input
    for attribute in node.attribute:
        for inner in (attribute.g, *attribute.graphs):
            for part in inner.node:
                yield from _taken_by(part)


def _free_name(name: str, taken: set[str]) -> str:
    """A name that no other value has: the base may have been taught itself."""
    while name in taken:
        name += "_"
    return name
