"""ONNX: a registered program's network, and every variant made of it, without traces of the machine that made them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper, version_converter
from onnxscript import optimizer

from registry.errors import InputError, IntegrityError, ModelyardError
from serving.bundle.modelinfo import ModelInfo
from serving.export.graphs import IR, OPSET
from serving.export.operators import control_flow, unfit_for_tensorflow
from serving.export.program import cause_of, load_program

INPUT = "tensor"
_NO_BIAS = 1e-30
"""Too small to change a sum, and not zero, which onnx2tf would leave out."""


def outputs_of(info: ModelInfo) -> list[str]:
    """The names of a core network's outputs."""
    return ["probabilities"] if info.task == "classify" else ["predictions", "raw"]


def export_core(program: Path, info: ModelInfo) -> onnx.ModelProto:
    """A torch.export program → ONNX: float32 `tensor` `[batch, 3, S, S]` to the outputs of its task."""
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            loaded = load_program(program)
            made = torch.onnx.export(
                loaded,
                (),
                dynamo=True,
                opset_version=OPSET,
                verbose=False,
                input_names=[INPUT],
                output_names=outputs_of(info),
            )
        except ModelyardError:
            raise
        except Exception as error:  # the exporter raises its own and torch's errors alike
            what = f"cannot be exported to ONNX: {cause_of(error)}"
            raise InputError("model", what, "replace that operation in the network, and train it again") from error
    if made is None:
        raise IntegrityError("model", "torch exported nothing", "report it")
    return settle(made.model_proto, info)


def settle(model: onnx.ModelProto, info: ModelInfo) -> onnx.ModelProto:
    """A converter's model as ours: names, opset, a free batch size, optimised, and a head that fits the classes."""
    if model.opset_import[0].version < OPSET:
        model = version_converter.convert_version(model, OPSET)
    for old, new in zip((value.name for value in list(model.graph.output)), outputs_of(info), strict=True):
        _rename(model.graph, old, new)
    _rename(model.graph, model.graph.input[0].name, INPUT)
    for value in (model.graph.input[0], *model.graph.output):
        value.type.tensor_type.shape.dim[0].Clear()
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    model.ir_version = IR
    _check_head(model, info)
    return forget(optimizer.optimize(model))


def forget(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the metadata that converters wrote about this machine and themselves; the graph stays."""
    graph = model.graph
    del model.metadata_props[:], graph.value_info[:], graph.metadata_props[:]
    model.producer_name, model.producer_version, model.doc_string, graph.doc_string = "modelyard", "", "", ""
    graph.name = "modelyard"
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*graph.input, *graph.output, *graph.initializer):
        del value.metadata_props[:]
        value.doc_string = ""
    return model


def seal_model(model: onnx.ModelProto, path: Path, provenance: Mapping[str, str]) -> None:
    """Write a finished model with its provenance, after ONNX's checker and shape inference."""
    forget(model)
    _state_opsets(model)
    for key, value in provenance.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def _state_opsets(model: onnx.ModelProto) -> None:
    """Name each operator set once, and only those in use: joining graphs and quantising leaves more."""
    used = {"", *(node.domain for node in model.graph.node)}
    versions = {opset.domain: opset.version for opset in model.opset_import if opset.domain in used}
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(domain, number) for domain, number in versions.items())


def for_tensorflow(core: onnx.ModelProto, info: ModelInfo, runtime: str = "tfjs") -> onnx.ModelProto:
    """The core as TensorFlow's converters take it: a detector cut before its boxes are decoded, hard-swish in simpler parts.

    TensorFlow fuses `x * relu6(x + 3) / 6` into a node that TF.js has no kernel for; `x * clip(x / 6 + 1/2, 0, 1)` is
    the same function and is left alone. A convolution without a bias gets one, since the converter would take what
    is added to it for the bias, also where that is another branch. Raises InputError naming what the runtime (`tfjs`, or
    `litert`, which gets the same network) cannot have: control flow, and operators that are known to fail.
    """
    model = onnx.ModelProto()
    model.CopyFrom(core)
    if info.task == "detect":
        model = onnx.utils.Extractor(model).extract_model([INPUT], ["raw"])
    name, cannot = ("TF.js", "TF.js cannot run") if runtime == "tfjs" else ("LiteRT", "cannot be converted to LiteRT")
    if flow := control_flow(model.graph.node):
        raise InputError("model", f"has control flow ({', '.join(flow)}), which {cannot}", f"leave {name} out of `export:`")
    if unfit := unfit_for_tensorflow(model.graph.node, runtime):
        what = f"has an operator that {cannot} ({', '.join(unfit)})"
        raise InputError("model", what, f"replace it in the network, or leave {name} out of `export:`")
    _decompose_hard_swish(model.graph)
    _give_biases(model.graph)
    _gather_sizes(model.graph)
    _pair_gelu(model.graph)
    return model


def _gather_sizes(graph: onnx.GraphProto) -> None:
    """One size of a tensor is gathered from its whole shape: the converter takes a part of a shape for all of it.

    torch asks for the batch's size so where a network's end is a view of strides, as in networks with LayerNorm.
    """
    made_by = {name: node for node in graph.node for name in node.output}
    for index, node in enumerate(list(graph.node)):
        shape = made_by.get(node.input[0]) if node.op_type == "Squeeze" and len(node.input) == 1 else None
        if shape is None or shape.op_type != "Shape":
            continue
        part = {attribute.name: attribute.i for attribute in shape.attribute}
        start = part.get("start", 0)
        if start < 0 or part.get("end") != start + 1:
            continue
        names = (f"whole_shape{index}", f"size_at{index}")
        graph.initializer.append(numpy_helper.from_array(np.asarray(start, np.int64), names[1]))
        graph.node.insert(list(graph.node).index(shape), helper.make_node("Shape", [shape.input[0]], [names[0]]))
        node.op_type = "Gather"
        node.input[:] = names


def _pair_gelu(graph: onnx.GraphProto) -> None:
    """GELU as `(x * 1/2) * (1 + erf)`, where torch has `x * (1/2 * (1 + erf))`: a half is exact, so the numbers stay the same.

    LiteRT has GELU and no erf, and its converter knows GELU in this form alone.
    """
    halves = {tensor.name for tensor in graph.initializer if not tensor.dims and numpy_helper.to_array(tensor) == 0.5}  # noqa: PLR2004
    made_by = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type != "Mul":
            continue
        for value, halved in (tuple(node.input), tuple(node.input)[::-1]):
            inner = made_by.get(halved)
            if inner is None or inner.op_type != "Mul" or not halves & set(inner.input):
                continue
            (curve,) = set(inner.input) - halves or {""}
            if _is_erf_plus(made_by.get(curve), made_by) and sum(halved in each.input for each in graph.node) == 1:
                inner.input[:] = [value, next(name for name in inner.input if name in halves)]
                node.input[:] = [halved, curve]
                break


def _is_erf_plus(node: onnx.NodeProto | None, made_by: Mapping[str, onnx.NodeProto]) -> bool:
    if node is None or node.op_type != "Add":
        return False
    return any((maker := made_by.get(name)) is not None and maker.op_type == "Erf" for name in node.input)


def _give_biases(graph: onnx.GraphProto) -> None:
    sizes = {tensor.name: tensor.dims[0] for tensor in graph.initializer if tensor.dims}
    for index, node in enumerate(graph.node):
        if node.op_type == "Conv" and len(node.input) == 2 and node.input[1] in sizes:  # noqa: PLR2004
            name = f"no_bias{index}"
            graph.initializer.append(numpy_helper.from_array(np.full(sizes[node.input[1]], _NO_BIAS, np.float32), name))
            node.input.append(name)


def _decompose_hard_swish(graph: onnx.GraphProto) -> None:
    swishes = [node for node in graph.node if node.op_type == "HardSwish"]
    if not swishes:
        return
    for name, value in (("hs_sixth", 1 / 6), ("hs_half", 0.5), ("hs_zero", 0.0), ("hs_one", 1.0)):
        graph.initializer.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
    nodes: list[onnx.NodeProto] = []
    for index, node in enumerate(graph.node):
        if node.op_type != "HardSwish":
            nodes.append(node)
            continue
        (given,), (out,), own = node.input, node.output, f"hs{index}"
        nodes += [
            helper.make_node("Mul", [given, "hs_sixth"], [f"{own}_a"]),
            helper.make_node("Add", [f"{own}_a", "hs_half"], [f"{own}_b"]),
            helper.make_node("Clip", [f"{own}_b", "hs_zero", "hs_one"], [f"{own}_c"]),
            helper.make_node("Mul", [given, f"{own}_c"], [out]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)


def _check_head(model: onnx.ModelProto, info: ModelInfo) -> None:
    """Reject a network without one output per class."""
    extra = 0 if info.task == "classify" else 4
    dims = model.graph.output[0].type.tensor_type.shape.dim
    outputs = dims[1].dim_value - extra if len(dims) > 1 else 0
    if outputs != len(info.labels):
        raise InputError(
            "model", f"has {outputs} outputs for {len(info.labels)} classes", "register it with its own class list"
        )


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Rename a value everywhere."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for value in (*graph.input, *graph.output):
        if value.name == old:
            value.name = new
