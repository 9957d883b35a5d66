"""Reading an ONNX file of unknown origin: no path that leads out of its folder, no operators but ONNX's own, one picture in.

What is read is a graph and its weights; nothing runs here.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import TensorProto, external_data_helper, inliner, version_converter
from onnxscript import optimizer

from registry.errors import InputError, IntegrityError, shorten
from serving.export.graphs import IR, OPSET

_DOMAINS = {"", "ai.onnx", "com.microsoft"}
"""Those of the runtime that serves; ONNX' operators for tables make no picture's answer."""
_LOOPS = {"Loop", "Scan", "SequenceMap"}
_LARGEST = 2_000_000_000
"""Protocol buffers end there, and what we write is one file."""
_LABEL_KEYS = ("names", "labels", "classes", "class_names", "modelyard.labels", "id2label")


def read_onnx(path: Path, subject: object) -> onnx.ModelProto:
    """The model with its weights, functions inlined. Raises InputError; IntegrityError for what reaches out of its folder."""
    if path.stat().st_size > _LARGEST:
        raise InputError(subject, "is larger than 2 GB", "give a smaller network: what is served is one file")
    try:
        model = onnx.load(path, load_external_data=False)
        strange = not model.graph.node or not model.graph.output or not model.opset_import
    except Exception as error:  # protocol buffers' DecodeError, or what a broken file makes of it
        raise InputError(subject, f"is not an ONNX model ({shorten(error, 80)})", "export it again") from error
    if strange:
        raise InputError(subject, "is not an ONNX model (it has no graph)", "export it again")
    _load_weights(model, path, subject)
    try:
        model = inliner.inline_local_functions(model)
    except Exception as error:  # onnx raises its C++ errors as RuntimeError and others
        raise InputError(subject, f"has functions that cannot be inlined ({shorten(error, 100)})", "export it again") from error
    kinds = {node.op_type for graph in _graphs(model.graph) for node in graph.node}
    if loops := sorted(kinds & _LOOPS):
        raise InputError(subject, f"has a loop ({loops[0]}), which may never end", "export it without loops, or unrolled")
    domains = {node.domain for graph in _graphs(model.graph) for node in graph.node}
    if foreign := sorted(domains - _DOMAINS):
        what = f"uses operators of '{foreign[0]}', which ONNX Runtime here does not have"
        raise InputError(subject, what, "export it with ONNX's own operators only")
    return model


def upgrade(model: onnx.ModelProto, subject: object) -> onnx.ModelProto:
    """The same model with the operator set that everything here is written for. Raises InputError where that cannot be."""
    version = next((opset.version for opset in model.opset_import if opset.domain in {"", "ai.onnx"}), 0)
    if version != OPSET:
        try:
            model = version_converter.convert_version(model, OPSET)
        except Exception as error:  # the converter is C++, and knows no type of its own
            what = f"is written for operator set {version}, and cannot be converted to {OPSET} ({shorten(error, 100)})"
            raise InputError(subject, what, f"export it with opset_version={OPSET}") from error
    model.ir_version = IR
    del model.graph.value_info[:]
    return optimizer.optimize(model)


def labels_in(model: onnx.ModelProto) -> tuple[str, ...]:
    """The class names in a model's metadata, in the order of its outputs; empty where it names none."""
    values = {entry.key: entry.value for entry in model.metadata_props}
    for key in _LABEL_KEYS:
        if names := labels_of(values.get(key, "")):
            return names
    return ()


def labels_of(text: str) -> tuple[str, ...]:
    """Class names as they are written into metadata: a list or a mapping as JSON or Python writes it, or words by commas."""
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        return names_of(value)
    names = tuple(part.strip() for part in text.split(","))
    return names if len(names) > 1 and all(names) else ()


def names_of(value: object) -> tuple[str, ...]:
    """A list of names, or a mapping of numbers from 0 on to names; empty for anything else, or for names of no meaning."""
    if isinstance(value, dict):
        try:
            numbered = {int(str(key)): str(name) for key, name in value.items()}
        except ValueError:
            return ()
        names = tuple(numbered.get(index, "") for index in range(len(numbered)))
    elif isinstance(value, list | tuple):
        names = tuple(map(str, value))
    else:
        return ()
    counted = all(name.upper() == f"LABEL_{index}" for index, name in enumerate(names))
    return names if names and all(names) and not counted else ()


def size_in(model: onnx.ModelProto) -> int | None:
    """The side in Ultralytics' metadata, `imgsz`: [height, width]."""
    text = next((entry.value for entry in model.metadata_props if entry.key == "imgsz"), "")
    try:
        sides = json.loads(text)
    except ValueError:
        return None
    return sides[0] if isinstance(sides, list) and len(sides) == 2 and sides[0] == sides[1] else None  # noqa: PLR2004


def _load_weights(model: onnx.ModelProto, path: Path, subject: object) -> None:
    """Load tensors that are kept in files beside it. Raises IntegrityError for any other place."""
    folder, inside = path.parent.resolve(), 0
    for tensor in _tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        file = folder / location
        if not location or Path(location).is_absolute() or ".." in Path(location).parts or file.is_symlink():
            what = f"takes weights from '{shorten(location, 80)}', which is not a file beside it"
            raise IntegrityError(subject, what, "do not use it; export it again with its weights inside")
        if folder not in file.resolve().parents:
            raise IntegrityError(subject, f"takes weights from outside its folder ('{shorten(location, 80)}')", "do not use it")
        if not file.is_file():
            raise InputError(subject, f"keeps its weights in {location}, which is not there", "give that file beside it")
        inside += file.stat().st_size if inside == 0 else 0
        if inside > _LARGEST:
            raise InputError(subject, "is larger than 2 GB with its weights", "give a smaller network")
    try:
        external_data_helper.load_external_data_for_model(model, str(folder))
    except Exception as error:  # a length or an offset that its file does not have
        raise InputError(subject, f"has weights that cannot be read ({shorten(error, 100)})", "export it again") from error


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and those within its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.type in {5, 10} else ():
                yield from _graphs(inner)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor that a model holds, wherever it may be."""
    functions = [node for function in model.functions for node in function.node]
    for graph in _graphs(model.graph):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        yield from _held_by(graph.node)
    yield from _held_by(functions)


def _held_by(nodes: object) -> Iterator[onnx.TensorProto]:
    for node in nodes:  # pyright: ignore[reportGeneralTypeIssues] protobuf's containers have no types
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
