"""ONNX's operators on images in TensorFlow, with channels last: in the TensorFlow world, part of `tf_direct.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from serving.export.tf_layout import IMAGE_RANK, Operand, UntranslatableError, Value, constant, elementwise, laid, on_axes, rank

Attributes = dict[str, Any]


def global_pool(_: Attributes, operand: Operand) -> Value:
    """The mean over height and width, which stay."""
    tensor, where, is_last = on_axes(operand, [2, 3])
    return laid(tf.reduce_mean(tensor, where, keepdims=True), is_last=is_last)


def batch_norm(attributes: Attributes, operand: Operand, *statistics: Operand) -> Value:
    """One factor and one shift per channel."""
    scale, bias, mean, spread = map(constant, statistics)
    factor = scale / np.sqrt(spread + attributes.get("epsilon", 1e-5))
    shape = (-1,) + (1,) * (rank(operand) - 2)
    factors, shifts = (array.astype(np.float32).reshape(shape) for array in (factor, bias - mean * factor))
    return elementwise(lambda tensor, times, plus: tensor * times + plus, operand, factors, shifts)


def conv(attributes: Attributes, operand: Value, weights: Operand, bias: Operand | None = None) -> Value:
    """A convolution; in groups it is one per channel, or several side by side."""
    kernel, groups = constant(weights), attributes.get("group", 1)
    if kernel.ndim != IMAGE_RANK:
        raise UntranslatableError("of other than two dimensions")
    strides, dilations = attributes.get("strides", [1, 1]), attributes.get("dilations", [1, 1])
    images = _padded(attributes, operand.last, 0.0)
    channels = images.shape[3]
    if groups == channels and groups > 1:
        if strides[0] != strides[1]:
            raise UntranslatableError("by channel with two strides")
        filters = kernel.reshape(channels, -1, *kernel.shape[2:]).transpose(2, 3, 0, 1)
        made = tf.nn.depthwise_conv2d(images, filters, [1, *strides, 1], "VALID", dilations=dilations)
    else:
        filters = np.split(kernel.transpose(2, 3, 1, 0), groups, axis=3)
        parts = tf.split(images, groups, axis=3) if groups > 1 else [images]
        pairs = zip(parts, filters, strict=True)
        answers = [tf.nn.conv2d(part, weight, strides, "VALID", dilations=dilations) for part, weight in pairs]
        made = tf.concat(answers, 3) if groups > 1 else answers[0]
    return Value(last=made if bias is None else tf.nn.bias_add(made, constant(bias)))


def _padded(attributes: Attributes, images: Any, filling: float) -> Any:
    if attributes.get("auto_pad", b"NOTSET") not in {b"NOTSET", b"VALID"} or attributes.get("ceil_mode"):
        raise UntranslatableError("with automatic padding")
    pads = attributes.get("pads", [0, 0, 0, 0])
    if not any(pads):
        return images
    top, left, bottom, right = pads
    return tf.pad(images, [[0, 0], [top, bottom], [left, right], [0, 0]], constant_values=np.float32(filling))


def pool(kind: str) -> Callable[..., Value]:
    """`MAX` or `AVG` over windows."""

    def pooled(attributes: Attributes, operand: Value) -> Value:
        window, strides = attributes["kernel_shape"], attributes.get("strides", [1, 1])
        if len(window) != 2 or any(step != 1 for step in attributes.get("dilations", [])):  # noqa: PLR2004
            raise UntranslatableError("with dilations, or of other than two dimensions")
        if kind == "AVG" and any(attributes.get("pads", [])) and not attributes.get("count_include_pad"):
            raise UntranslatableError("that does not count its padding")
        images = _padded(attributes, operand.last, -3e38 if kind == "MAX" else 0.0)
        return Value(last=tf.nn.pool(images, window, kind, strides=strides, padding="VALID"))

    return pooled
