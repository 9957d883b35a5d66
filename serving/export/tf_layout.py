"""A tensor in both layouts, and what computes on either: in the TensorFlow world, part of `tf_direct.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

TO_LAST, TO_FIRST = [0, 2, 3, 1], [0, 3, 1, 2]
IMAGE_RANK = 4


class UntranslatableError(Exception):
    """The network has an operator, or a use of one, that is not known here."""


class Value:
    """A tensor in ONNX's layout, and one of an image with its channels last; each is made when it is first asked for."""

    def __init__(self, plain: Any = None, last: Any = None) -> None:
        self._plain, self._last = plain, last

    @property
    def plain(self) -> Any:
        """The tensor as ONNX has it."""
        if self._plain is None:
            self._plain = tf.transpose(self._last, TO_FIRST)
        return self._plain

    @property
    def last(self) -> Any:
        """The tensor `[1, channels, height, width]` as `[1, height, width, channels]`."""
        if self._last is None:
            self._last = tf.transpose(self._plain, TO_LAST)
        return self._last

    @property
    def is_last(self) -> bool:
        """Whether it exists with its channels last: what follows can then stay there."""
        return self._last is not None

    @property
    def rank(self) -> int:
        """How many dimensions it has."""
        return IMAGE_RANK if self.is_last else len(self._plain.shape)


Operand = Value | np.ndarray


def plain(operand: Operand) -> Any:
    """What TensorFlow computes on, in ONNX's layout."""
    return operand.plain if isinstance(operand, Value) else operand


def rank(operand: Operand) -> int:
    """How many dimensions it has."""
    return operand.rank if isinstance(operand, Value) else operand.ndim


def constant(operand: Operand | None) -> np.ndarray | None:
    """What must be known beforehand: weights, sizes, axes, bounds. None where it is left out."""
    if isinstance(operand, Value):
        raise UntranslatableError("with sizes or weights that are computed")
    return operand


def elementwise(function: Callable[..., Any], *operands: Operand) -> Value:
    """Numbers that do not meet their neighbours: computed with channels last where every tensor is there already."""
    tensors = [operand for operand in operands if isinstance(operand, Value)]
    ranks = [rank(operand) for operand in operands]
    if tensors and all(tensor.is_last for tensor in tensors) and max(ranks) <= IMAGE_RANK:
        return Value(last=function(*(each.last if isinstance(each, Value) else _turned(each) for each in operands)))
    return Value(function(*map(plain, operands)))


def _turned(array: np.ndarray) -> np.ndarray:
    """A constant that is broadcast against an image, with its channels last."""
    if array.size == 1:
        return array.reshape(())
    return array.reshape((1,) * (IMAGE_RANK - array.ndim) + array.shape).transpose(TO_LAST)


def on_axes(operand: Operand, axes: list[int]) -> tuple[Any, list[int], bool]:
    """The tensor to compute on, where those axes are in it, and whether it has its channels last."""
    positive = [axis % rank(operand) for axis in axes]
    if isinstance(operand, Value) and operand.is_last:
        return operand.last, [TO_LAST.index(axis) for axis in positive], True
    return plain(operand), positive, False


def laid(tensor: Any, *, is_last: bool) -> Value:
    """A result, in the layout that it was computed in."""
    return Value(last=tensor) if is_last else Value(tensor)


def transpose(operand: Operand, order: list[int]) -> Value:
    """Any transpose. An image turned to channels last is taken from where it is so; runs of axes move as one axis."""
    if isinstance(operand, Value) and operand.is_last and order == TO_LAST:
        return Value(operand.last)
    tensor = plain(operand)
    if order == TO_FIRST:
        return Value(last=tensor)
    runs = _runs(order, list(tensor.shape))
    if len(runs) == len(order):
        return Value(tf.transpose(tensor, order))
    by_source = sorted(range(len(runs)), key=lambda index: runs[index][0])
    sizes = [int(np.prod([tensor.shape[axis] for axis in runs[index]])) for index in by_source]
    moved = tf.transpose(tf.reshape(tensor, sizes), [by_source.index(index) for index in range(len(runs))])
    return Value(tf.reshape(moved, [tensor.shape[axis] for axis in order]))


def _runs(order: list[int], shape: list[int]) -> list[list[int]]:
    """The axes in their new order, those in one list that stay neighbours; axes of one element are in no one's way."""
    runs: list[list[int]] = []
    solid = [axis for axis in order if shape[axis] != 1]
    places = {axis: index for index, axis in enumerate(sorted(solid))}
    for axis in solid:
        if runs and places[axis] == places[runs[-1][-1]] + 1:
            runs[-1].append(axis)
        else:
            runs.append([axis])
    return runs or [order[:1]]
