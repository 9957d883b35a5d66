"""An ONNX classifier: its graph in our operator set, with a free batch, and with what it lacks around it.

Layout (NCHW or NHWC), numbers of 16 or 64 bits, and bytes are all taken: a transpose or a cast is put before the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from pipelines.training.foreign.contract import About, Head, Scores
from pipelines.training.foreign.onnx_file import labels_in, read_onnx, size_in, upgrade
from pipelines.training.foreign.options import KNOWN, Layout, Tensors
from registry.errors import InputError, shorten
from registry.mlflow.package_onnx import package_onnx
from serving.bundle.modelinfo import ModelInfo
from serving.export.onnx import INPUT, seal_model, settle

_NUMBERS: dict[int, Any] = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16, TensorProto.DOUBLE: np.float64}
_NUMBERS |= {TensorProto.UINT8: np.uint8}
_IMAGE_RANK, _CHANNELS = 4, 3
_SAME = 1e-3
_DYNAMIC = "export it with a dynamic batch axis (`dynamic_axes`, `dynamic_shapes`)"


class OnnxModel:
    """A classifier in an ONNX file. `subject` is what errors call it, where `path` is not the user's own."""

    def __init__(self, path: Path, layout: Layout | None, subject: object = None) -> None:
        self._subject = subject or path
        model = read_onnx(path, self._subject)
        self.labels, given_side = labels_in(model), size_in(model)
        self._given = _only_input(model, self._subject)
        self._layout: Layout
        self._layout, side = _shape(self._given, layout, self._subject)
        self._model = upgrade(model, self._subject)
        self._batch = self._free_batch()
        self.about = About("onnx", path.stem, side or given_side, self.labels, KNOWN["0..255"] if self._bytes else None)
        self._output = ""

    @property
    def _bytes(self) -> bool:
        return self._given.type.tensor_type.elem_type == TensorProto.UINT8

    def answers(self, batches: Sequence[Tensors]) -> list[Scores]:
        """ONNX Runtime's answers; the same for a picture alone as among others, or it is refused."""
        session = self._session(self._model)
        names = [output.name for output in session.get_outputs()]
        rows: list[Scores] = []
        for tensors in batches:
            outputs = [np.asarray(value) for value in self._run(session, names, tensors)]
            self._output = self._output or names[_answering(names, outputs, self._subject)]
            scores = outputs[names.index(self._output)].astype(np.float32).reshape(len(outputs[0]), -1)
            rows.append(scores)
        self._check_batch(session, batches[0], rows[0])
        return rows

    def package(self, folder: Path, info: ModelInfo, head: Head) -> ModelInfo:
        """The graph from pixels in 0..1 to probabilities, by ONNX's checker and shape inference."""
        about = info.changed(framework="onnx")
        model, side = self._with_head(head, info), info.preprocess.size
        try:
            model = settle(model, about)
            sealed = folder.with_suffix(".onnx")
            seal_model(model, sealed, {})
        except (InputError, OSError):
            raise
        except Exception as error:  # ONNX' checker and converters raise what they like
            why = f"cannot be written as one graph ({type(error).__name__}: {shorten(error, 120)})"
            raise InputError(self._subject, why, "export it again") from error
        package_onnx(onnx.load(sealed), folder, side, len(info.labels))
        sealed.unlink()
        return about

    def _session(self, model: onnx.ModelProto) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            return onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            why = f"cannot be loaded by ONNX Runtime ({shorten(error, 160)})"
            raise InputError(self._subject, why, "export it again, with operators that ONNX Runtime has") from error

    def _run(self, session: onnxruntime.InferenceSession, names: list[str], tensors: Tensors) -> list[object]:
        given = tensors if self._layout == "nchw" else tensors.transpose(0, 2, 3, 1)
        kind = _NUMBERS[self._given.type.tensor_type.elem_type]
        given = np.rint(given).clip(0, 255) if kind is np.uint8 else given
        try:
            return list(session.run(names, {self._given.name: np.ascontiguousarray(given, kind)}))
        except Exception as error:  # as above
            fixed = self._batch > 0
            why = f"takes batches of {self._batch} only" if fixed else f"cannot be run ({shorten(error, 160)})"
            remedy = _DYNAMIC if fixed else "give --imgsz and --layout as it was trained"
            raise InputError(self._subject, why, remedy) from error

    def _check_batch(self, session: onnxruntime.InferenceSession, tensors: Tensors, scores: Scores) -> None:
        """A batch that was fixed, and is set free, must not mix its pictures."""
        names = [self._output]
        alone = np.concatenate([np.asarray(self._run(session, names, tensors[at : at + 1])[0]) for at in (0, len(tensors) - 1)])
        if np.abs(alone.reshape(2, -1).astype(np.float32) - scores[[0, -1]]).max() > _SAME * max(
            1.0, float(np.abs(scores).max())
        ):
            raise InputError(self._subject, "answers otherwise for a picture alone than for one among others", _DYNAMIC)

    def _free_batch(self) -> int:
        """Set the batch free where it is fixed, and return what it was; 0: it was free."""
        graph = self._model.graph
        fixed = _only_input(self._model, self._subject).type.tensor_type.shape.dim[0].dim_value
        if not fixed:
            return 0
        for value in (*graph.input, *graph.output):
            if value.type.tensor_type.shape.dim:
                value.type.tensor_type.shape.dim[0].Clear()
                value.type.tensor_type.shape.dim[0].dim_param = "batch"
        shapes = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
        for tensor in graph.initializer:
            if tensor.name not in shapes:
                continue
            sizes = numpy_helper.to_array(tensor).copy()
            if len(sizes) > 1 and sizes[0] == fixed and -1 not in sizes:
                sizes[0] = -1
                tensor.CopyFrom(numpy_helper.from_array(sizes, tensor.name))
        return fixed

    def _with_head(self, head: Head, info: ModelInfo) -> onnx.ModelProto:
        """Normalise, turn and cast before the network; flatten, order and softmax after it."""
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        graph, made = model.graph, _Nodes()
        own = list(graph.node)
        last = made.before(head, self._layout, self._given)
        before, made.nodes = made.nodes, []
        made.after(self._output, head)
        renamed = {INPUT: "their_tensor", "probabilities": "their_probabilities"}
        for node in own:
            node.input[:] = [last if name == self._given.name else renamed.get(name, name) for name in node.input]
            node.output[:] = [renamed.get(name, name) for name in node.output]
        made.nodes[0].input[0] = renamed.get(self._output, self._output)
        del graph.node[:], graph.input[:], graph.output[:]
        graph.node.extend([*before, *own, *made.nodes])
        graph.initializer.extend(made.constants)
        graph.input.append(
            helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", _CHANNELS, *[info.preprocess.size] * 2])
        )
        graph.output.append(helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", len(info.labels)]))
        return model


class _Nodes:
    """Nodes that are put around a network, and their constants."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def before(self, head: Head, layout: Layout, given: onnx.ValueInfoProto) -> str:
        """From `tensor` in 0..1 to what the network takes; returns that value's name."""
        name, kind = INPUT, given.type.tensor_type.elem_type
        if any(head.normalise.mean):
            name = self._add("Sub", [name, self._channels("mean", head.normalise.mean)])
        if any(value != 1 for value in head.normalise.std):
            name = self._add("Div", [name, self._channels("std", head.normalise.std)])
        if layout == "nhwc":
            name = self._add("Transpose", [name], perm=[0, 2, 3, 1])
        if kind == TensorProto.UINT8:
            name = self._add("Round", [name])
        if kind != TensorProto.FLOAT:
            name = self._add("Cast", [name], to=kind)
        return name if name != INPUT else self._add("Identity", [name])

    def after(self, output: str, head: Head) -> None:
        """From the network's scores to `probabilities` in the data set's order."""
        name = self._add("Cast", [output], to=TensorProto.FLOAT)
        name = self._add("Flatten", [name], axis=1)
        if head.order:
            self.constants.append(numpy_helper.from_array(np.asarray(head.order, np.int64), "our_order"))
            name = self._add("Gather", [name, "our_order"], axis=1)
        self.nodes.append(helper.make_node("Softmax" if head.softmax else "Identity", [name], ["probabilities"]))

    def _add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        made = f"our_{kind.lower()}_{len(self.nodes)}_{inputs[0]}"
        self.nodes.append(helper.make_node(kind, inputs, [made], **attributes))
        return made

    def _channels(self, name: str, values: tuple[float, ...]) -> str:
        array = np.asarray(values, np.float32).reshape(1, -1, 1, 1)
        self.constants.append(numpy_helper.from_array(array, f"our_{name}"))
        return f"our_{name}"


def _only_input(model: onnx.ModelProto, subject: object) -> onnx.ValueInfoProto:
    """The input that is no weight. Raises InputError for several, or for what is no picture of numbers."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise InputError(subject, f"takes {len(inputs)} inputs ({names})", "give a network that takes one image")
    tensor = inputs[0].type.tensor_type
    if tensor.elem_type not in _NUMBERS:
        kind = TensorProto.DataType.Name(tensor.elem_type)
        raise InputError(subject, f"takes {kind} as input", "give a network that takes an image of floats or bytes")
    if len(tensor.shape.dim) != _IMAGE_RANK:
        raise InputError(subject, f"takes {len(tensor.shape.dim)} dimensions", "give one that takes [batch, 3, height, width]")
    return inputs[0]


def _shape(given: onnx.ValueInfoProto, layout: Layout | None, subject: object) -> tuple[Layout, int | None]:
    """Which axis has the channels, and the picture's side; None where it is free. Raises InputError for no square of 3."""
    sizes = [size.dim_value for size in given.type.tensor_type.shape.dim]
    stated: Layout | None = "nchw" if sizes[1] == _CHANNELS else "nhwc" if sizes[3] == _CHANNELS else None
    if stated is None and layout is None:
        if sizes[1] and sizes[3]:
            raise InputError(subject, f"takes {sizes}, which has no 3 channels", "give a network of color pictures")
        raise InputError(subject, "does not say which axis has the channels", "give --layout nchw or --layout nhwc")
    axis = layout or stated or "nchw"
    channels, height, width = (sizes[1], sizes[2], sizes[3]) if axis == "nchw" else (sizes[3], sizes[1], sizes[2])
    if channels not in {0, _CHANNELS}:
        raise InputError(subject, f"takes {channels} channels as {axis}", "give a network of color pictures, or fix --layout")
    if height and width and height != width:
        raise InputError(
            subject, f"takes {height} x {width} pixels", "give one that takes squares: pictures are cropped to one"
        )
    return axis, height or width or None


def _answering(names: list[str], outputs: list[np.ndarray], subject: object) -> int:
    """Which output has the classes' scores: the only one of a row per picture."""
    rows = [index for index, value in enumerate(outputs) if value.ndim >= 2 and value.size == np.prod(value.shape[:2])]  # noqa: PLR2004
    kinds = [index for index in rows if outputs[index].dtype.kind == "f"]
    named = [index for index in kinds if any(word in names[index].lower() for word in ("prob", "logit", "score"))]
    for choice in (kinds, named):
        if len(choice) == 1:
            return choice[0]
    shapes = ", ".join(f"{name} {list(value.shape)}" for name, value in zip(names, outputs, strict=True))
    why = f"answers {shapes}, of which none is clearly one score a class"
    raise InputError(subject, why, "give a classifier with one output [batch, classes]; a detector comes as Ultralytics' .pt")
