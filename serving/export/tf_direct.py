"""ONNX → SavedModel, operator by operator in ONNX's own layout: part of `tf_convert.py`, in the TensorFlow world.

onnx2tf moves every tensor's channels to the end and guesses, from sizes, which axis is which after a transpose or a reshape.
In attention over windows (Swin), with class tokens (ViT) and in channel shuffles (ShuffleNet) it guesses wrongly: it fails,
or answers differently. Here nothing is guessed. The price is a batch of one image: with it every shape is a constant that
ONNX Runtime folds, so no graph computes sizes.

Not covered: operators that `tf_operators.py` lacks, sizes that depend on the image, and what raises UntranslatableError there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from serving.export.tf_layout import Operand, UntranslatableError, Value, plain
from serving.export.tf_operators import OPERATORS

_GUESSED = frozenset({"Transpose", "MatMul"})
_CLOSE = 1e-3


def for_one_image(path: Path, work: Path) -> onnx.ModelProto:
    """The network for a batch of one, with every shape folded to a constant. Raises UntranslatableError if it takes none."""
    model = onnx.load(path)
    for value in (model.graph.input[0], *model.graph.output):
        size = value.type.tensor_type.shape.dim[0]
        size.Clear()
        size.dim_value = 1
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(work / "one_image.onnx")
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's are Exception's own children
        raise UntranslatableError(f"a batch of one ({_short(error)})") from error
    return onnx.load(options.optimized_model_filepath)


def translate(model: onnx.ModelProto, saved: Path) -> None:
    """Write the SavedModel of a network for one image: float32 NHWC in, what ONNX answers out.

    Raises UntranslatableError naming what is not known here.
    """
    if unknown := sorted({node.op_type for node in model.graph.node if node.op_type not in OPERATORS or node.domain}):
        raise UntranslatableError(", ".join(unknown))
    (given,), (made,) = model.graph.input, model.graph.output
    _, channels, height, width = (size.dim_value for size in given.type.tensor_type.shape.dim)

    def answer(images: Any) -> dict[str, Any]:
        values: dict[str, Operand] = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
        values[given.name] = Value(last=images)
        for node in model.graph.node:
            _compute(node, values)
        return {made.name: plain(values[made.name])}

    module = tf.Module()
    spec = tf.TensorSpec([1, height, width, channels], tf.float32, given.name)
    module.answer = tf.function(answer, input_signature=[spec], autograph=False)  # which would rewrite the code and its errors
    tf.saved_model.save(module, str(saved), signatures={"serving_default": module.answer})


def _compute(node: onnx.NodeProto, values: dict[str, Operand]) -> None:
    """Add a node's results to the values."""
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    operands = [values[name] if name else None for name in node.input]
    try:
        results = OPERATORS[node.op_type](attributes | {"outputs": len(node.output)}, *operands)
    except UntranslatableError as error:
        raise UntranslatableError(f"{node.op_type} {error}") from error
    except (ValueError, TypeError, LookupError, AttributeError, tf.errors.OpError) as error:
        raise UntranslatableError(f"{node.op_type} ({_short(error)})") from error
    values.update(zip(node.output, results if isinstance(results, list) else [results], strict=False))


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def normalises_layers(path: Path) -> bool:
    """Whether a network has layer normalisation, as those of attention do."""
    return any(node.op_type == "LayerNormalization" for node in onnx.load(path, load_external_data=False).graph.node)


def answers_alike(path: Path, saved: Path) -> bool:
    """Whether a SavedModel of onnx2tf's answers as the ONNX network does, for noise; not asked where nothing was guessed."""
    model = onnx.load(path)
    if not any(node.op_type in _GUESSED for node in model.graph.node):
        return True
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    shape = [1, *(size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim[1:])]
    pixels = np.random.default_rng(0).random(shape, dtype=np.float32)
    (wanted,) = session.run(None, {session.get_inputs()[0].name: pixels})
    loaded = tf.saved_model.load(str(saved))
    (got,) = loaded.signatures["serving_default"](tf.constant(pixels.transpose(0, 2, 3, 1))).values()
    if got.shape != wanted.shape:  # a detector's boxes with their numbers last, which its decoder knows
        wanted = np.swapaxes(wanted, 1, -1)
    return got.shape == wanted.shape and bool(np.abs(got.numpy() - wanted).max() <= _CLOSE * max(1.0, np.abs(wanted).max()))
