"""ONNX's operators in TensorFlow, for one image and with constant sizes: in the TensorFlow world, part of `tf_direct.py`.

Only what TF.js has kernels for comes out: a convolution in groups is several, a softmax is over the last axis, a matrix
product has at most one dimension before its matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from serving.export.tf_images import Attributes, batch_norm, conv, global_pool, pool
from serving.export.tf_layout import (
    IMAGE_RANK,
    Operand,
    UntranslatableError,
    Value,
    constant,
    elementwise,
    laid,
    on_axes,
    plain,
    rank,
    transpose,
)


def _unary(function: Callable[[Any], Any]) -> Callable[..., Value]:
    return lambda _, operand: elementwise(function, operand)


def _binary(function: Callable[[Any, Any], Any]) -> Callable[..., Value]:
    return lambda _, first, second: elementwise(function, first, second)


def _fold(function: Callable[[Any, Any], Any]) -> Callable[..., Value]:
    def folded(_: Attributes, first: Operand, *rest: Operand) -> Operand:
        for operand in rest:
            first = elementwise(function, first, operand)
        return first

    return folded


def _numbers(operand: Operand | None, attribute: Sequence[int] | None) -> list[int] | None:
    """Axes or sizes: newer operators take them as an input, older ones as an attribute."""
    given = constant(operand)
    if given is not None:
        return [int(number) for number in given.reshape(-1)]
    return None if attribute is None else list(attribute)


def _clip(_: Attributes, operand: Operand, least: Operand | None = None, most: Operand | None = None) -> Value:
    low, high = constant(least), constant(most)

    def bounded(tensor: Any) -> Any:
        tensor = tensor if low is None else tf.maximum(tensor, low)
        return tensor if high is None else tf.minimum(tensor, high)

    return elementwise(bounded, operand)


def _hard_sigmoid(attributes: Attributes, operand: Operand) -> Value:
    slope, offset = np.float32(attributes.get("alpha", 0.2)), np.float32(attributes.get("beta", 0.5))
    return elementwise(lambda tensor: tf.minimum(tf.maximum(tensor * slope + offset, 0.0), 1.0), operand)


def _leaky_relu(attributes: Attributes, operand: Operand) -> Value:
    slope = np.float32(attributes.get("alpha", 0.01))
    return elementwise(lambda tensor: tf.nn.relu(tensor) - slope * tf.nn.relu(-tensor), operand)


def _reduce(function: Callable[..., Any]) -> Callable[..., Value]:
    def reduced(attributes: Attributes, operand: Operand, axes: Operand | None = None) -> Value:
        wanted, keep = _numbers(axes, attributes.get("axes")), bool(attributes.get("keepdims", 1))
        if not wanted:
            raise UntranslatableError("over all axes")
        tensor, where, is_last = on_axes(operand, wanted)
        answer = function(tensor, where, keep)
        if keep or not is_last:
            return laid(answer, is_last=is_last and keep)
        if 3 in where:  # noqa: PLR2004 channels are gone: batch, height and width are in ONNX's order
            return Value(answer)
        if sorted(where) == [1, 2]:
            return Value(answer)
        return Value(function(plain(operand), [axis % IMAGE_RANK for axis in wanted], keep))

    return reduced


def _length(tensor: Any, axes: list[int], keep: bool) -> Any:  # noqa: FBT001 as TensorFlow's reductions take it
    return tf.sqrt(tf.reduce_sum(tf.square(tensor), axes, keep))


def _layer_norm(attributes: Attributes, operand: Operand, scale: Operand, bias: Operand | None = None) -> Value:
    tensor = plain(operand)
    axes = list(range(attributes.get("axis", -1) % len(tensor.shape), len(tensor.shape)))
    centred = tensor - tf.reduce_mean(tensor, axes, keepdims=True)
    spread = tf.reduce_mean(tf.square(centred), axes, keepdims=True)
    normal = centred * tf.math.rsqrt(spread + np.float32(attributes.get("epsilon", 1e-5))) * plain(scale)
    return Value(normal if bias is None else normal + plain(bias))


def _matmul(_: Attributes, first: Operand, second: Operand) -> Value:
    left, right = plain(first), plain(second)
    if len(right.shape) == 2 and len(left.shape) > 2:  # noqa: PLR2004
        flat = tf.matmul(tf.reshape(left, [-1, left.shape[-1]]), right)
        return Value(tf.reshape(flat, [*left.shape[:-1], right.shape[-1]]))
    lead = list(left.shape[:-2])
    if len(lead) < 2 or list(right.shape[:-2]) != lead:  # noqa: PLR2004
        return Value(tf.matmul(left, right))
    stacked = (tf.reshape(each, [-1, *each.shape[-2:]]) for each in (left, right))
    return Value(tf.reshape(tf.matmul(*stacked), [*lead, left.shape[-2], right.shape[-1]]))


def _turned_if(wanted: int | None, operand: Operand) -> Any:
    """A matrix, transposed where that is said. TF.js' wasm answers otherwise where its fused product is to transpose."""
    matrix = plain(operand)
    if not wanted:
        return matrix
    return np.ascontiguousarray(matrix.T) if isinstance(matrix, np.ndarray) else tf.transpose(matrix)


def _gemm(attributes: Attributes, first: Operand, second: Operand, bias: Operand | None = None) -> Value:
    left, right = (_turned_if(attributes.get(name), each) for name, each in (("transA", first), ("transB", second)))
    answer = tf.matmul(left, right)
    alpha, beta = (np.float32(attributes.get(name, 1.0)) for name in ("alpha", "beta"))
    answer = answer if alpha == 1 else answer * alpha
    return Value(answer if bias is None else answer + (plain(bias) if beta == 1 else plain(bias) * beta))


def _softmax(attributes: Attributes, operand: Operand) -> Value:
    tensor, axis = plain(operand), attributes.get("axis", -1) % rank(operand)
    order = [index for index in range(rank(operand)) if index != axis] + [axis]
    if order == sorted(order):
        return Value(tf.nn.softmax(tensor))
    return transpose(Value(tf.nn.softmax(plain(transpose(operand, order)))), list(np.argsort(order)))


def _reshape(attributes: Attributes, operand: Operand, shape: Operand) -> Value:
    sizes, tensor = _numbers(shape, None), plain(operand)
    if not attributes.get("allowzero"):
        sizes = [tensor.shape[index] if size == 0 else size for index, size in enumerate(sizes)]
    return Value(tf.reshape(tensor, sizes))


def _flatten(attributes: Attributes, operand: Operand) -> Value:
    tensor, axis = plain(operand), attributes.get("axis", 1) % (rank(operand) + 1)
    return Value(tf.reshape(tensor, [int(np.prod(tensor.shape[:axis])), int(np.prod(tensor.shape[axis:]))]))


def _squeeze(attributes: Attributes, operand: Operand, axes: Operand | None = None) -> Value:
    tensor, wanted = plain(operand), _numbers(axes, attributes.get("axes"))
    gone = [index for index, size in enumerate(tensor.shape) if size == 1] if wanted is None else wanted
    gone = [axis % rank(operand) for axis in gone]
    return Value(tf.reshape(tensor, [size for index, size in enumerate(tensor.shape) if index not in gone]))


def _unsqueeze(attributes: Attributes, operand: Operand, axes: Operand | None = None) -> Value:
    tensor, wanted = plain(operand), _numbers(axes, attributes.get("axes"))
    ranks, sizes = rank(operand) + len(wanted), list(tensor.shape)
    for axis in sorted(axis % ranks for axis in wanted):
        sizes.insert(axis, 1)
    return Value(tf.reshape(tensor, sizes))


def _concat(attributes: Attributes, *operands: Operand) -> Value:
    axis = attributes["axis"]
    if all(isinstance(operand, Value) and operand.is_last for operand in operands):
        _, (where,), _ = on_axes(operands[0], [axis])
        return Value(last=tf.concat([operand.last for operand in operands], where))
    return Value(tf.concat([plain(operand) for operand in operands], axis))


def _split(attributes: Attributes, operand: Operand, sizes: Operand | None = None) -> list[Value]:
    tensor, (axis,), is_last = on_axes(operand, [attributes.get("axis", 0)])
    wanted = _numbers(sizes, attributes.get("split"))
    if wanted is None:
        each = -(-tensor.shape[axis] // attributes["outputs"])
        wanted = [each] * (attributes["outputs"] - 1)
        wanted.append(tensor.shape[axis] - sum(wanted))
    return [laid(part, is_last=is_last) for part in tf.split(tensor, wanted, axis)]


def _slice(_: Attributes, operand: Operand, *bounds: Operand) -> Value:
    starts, ends, axes, steps = (_numbers(bound, None) for bound in (*bounds, None, None)[:4])
    tensor, where, is_last = on_axes(operand, axes or list(range(len(starts))))
    cut = [slice(None)] * len(tensor.shape)
    for index, axis in enumerate(where):
        step = steps[index] if steps else 1
        if step < 1:
            raise UntranslatableError("backwards")
        cut[axis] = slice(*slice(starts[index], ends[index], step).indices(tensor.shape[axis]))
    return laid(tensor[tuple(cut)], is_last=is_last)


def _gather(attributes: Attributes, operand: Operand, indices: Operand) -> Value:
    picked = constant(indices)
    tensor, (axis,), is_last = on_axes(operand, [attributes.get("axis", 0)])
    picked = np.where(picked < 0, picked + tensor.shape[axis], picked).astype(np.int32)
    if picked.ndim == 1:
        return laid(tf.gather(tensor, picked, axis=axis), is_last=is_last)
    tensor, axis = plain(operand), attributes.get("axis", 0) % rank(operand)
    if picked.ndim == 0:
        return Value(tensor[(slice(None),) * axis + (int(picked),)])
    shape = [*tensor.shape[:axis], *picked.shape, *tensor.shape[axis + 1 :]]
    return Value(tf.reshape(tf.gather(tensor, picked.reshape(-1), axis=axis), shape))


def _pad(attributes: Attributes, operand: Operand, pads: Operand, *rest: Operand | None) -> Value:
    value, axes = (constant(each) for each in (*rest, None, None)[:2])
    amounts, mode = _numbers(pads, None), attributes.get("mode", b"constant")
    if mode not in {b"constant", b"reflect"} or min(amounts) < 0:
        raise UntranslatableError(f"that is {mode.decode()} or takes away")
    chosen = list(range(rank(operand))) if axes is None else [int(axis) for axis in axes]
    tensor, where, is_last = on_axes(operand, chosen)
    around = [[0, 0] for _ in tensor.shape]
    for index, axis in enumerate(where):
        around[axis] = [amounts[index], amounts[index + len(where)]]
    filling = np.float32(0 if value is None else value.reshape(()))
    if mode == b"reflect":
        return laid(tf.pad(tensor, around, "REFLECT"), is_last=is_last)
    return laid(tf.pad(tensor, around, constant_values=filling), is_last=is_last)


def _expand(_: Attributes, operand: Operand, shape: Operand) -> Value:
    tensor = plain(operand)
    return Value(tf.broadcast_to(tensor, np.broadcast_shapes(tuple(tensor.shape), tuple(_numbers(shape, None)))))


OPERATORS: dict[str, Callable[..., Any]] = {
    "Abs": _unary(tf.abs), "Add": _binary(tf.add), "AveragePool": pool("AVG"), "BatchNormalization": batch_norm,
    "Clip": _clip, "Concat": _concat, "Conv": conv, "Cos": _unary(tf.cos), "Div": _binary(tf.divide),
    "Erf": _unary(tf.math.erf), "Exp": _unary(tf.exp), "Expand": _expand, "Flatten": _flatten, "Gather": _gather,
    "Gemm": _gemm, "GlobalAveragePool": global_pool, "HardSigmoid": _hard_sigmoid,
    "Identity": lambda _, operand: operand, "LayerNormalization": _layer_norm, "LeakyRelu": _leaky_relu,
    "Log": _unary(tf.math.log), "MatMul": _matmul, "Max": _fold(tf.maximum), "MaxPool": pool("MAX"),
    "Min": _fold(tf.minimum), "Mul": _binary(tf.multiply), "Neg": _unary(tf.negative), "Pad": _pad,
    "Pow": _binary(tf.pow), "Reciprocal": _unary(tf.math.reciprocal), "ReduceL2": _reduce(_length),
    "ReduceMax": _reduce(tf.reduce_max), "ReduceMean": _reduce(tf.reduce_mean), "ReduceMin": _reduce(tf.reduce_min),
    "ReduceSum": _reduce(tf.reduce_sum), "Relu": _unary(tf.nn.relu), "Reshape": _reshape,
    "Sigmoid": _unary(tf.sigmoid), "Sin": _unary(tf.sin), "Slice": _slice, "Softmax": _softmax, "Split": _split,
    "Sqrt": _unary(tf.sqrt), "Squeeze": _squeeze, "Sub": _binary(tf.subtract), "Sum": _fold(tf.add),
    "Tanh": _unary(tf.tanh), "Transpose": lambda attributes, operand: transpose(operand, list(attributes["perm"])),
    "Unsqueeze": _unsqueeze,
}  # fmt: skip
"""Each takes the node's attributes and operands (None for one left out), and answers a Value, or a list of them."""
