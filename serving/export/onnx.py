"""ONNX: from a registered program, with names, a free batch size and provenance, and nothing of this machine."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx

from registry.errors import ModelyardError, shorten

OPSET = 18
INPUT, OUTPUT = "images", "probabilities"


def export_program(program: Path, target: Path, provenance: Mapping[str, str]) -> None:
    """A torch.export program → ONNX: float32 `images` `[batch, 3, S, S]` to `probabilities` `[batch, classes]`."""
    import torch

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                torch.export.load(program),
                (),
                target,
                dynamo=True,
                external_data=False,
                opset_version=OPSET,
                verbose=False,
                input_names=[INPUT],
                output_names=[OUTPUT],
            )
        except Exception as error:  # the exporter raises its own and torch's errors alike
            raise ModelyardError(
                program.name, f"cannot be exported to ONNX ({shorten(error, 160)})", "change the model"
            ) from error
    tidy(target, provenance)


def tidy(path: Path, provenance: Mapping[str, str]) -> None:
    """Give a model our names and provenance, drop what the exporter noted of this machine, and check it."""
    model = onnx.load(path)
    graph = model.graph
    _rename(graph, graph.input[0].name, INPUT)
    _rename(graph, graph.output[0].name, OUTPUT)
    for value in (graph.input[0], graph.output[0]):
        value.type.tensor_type.shape.dim[0].Clear()
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del graph.value_info[:]
    del model.metadata_props[:]
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for key, value in provenance.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    """Rename a value wherever it stands."""
    for node in graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for value in (*graph.input, *graph.output):
        if value.name == old:
            value.name = new
