"""Smaller networks: half precision, and 8-bit integers calibrated on training images. With ONNX Runtime's own tools."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from registry.errors import InputError
from serving.export.onnx import INPUT

_KEEP_FLOAT = ["NonMaxSuppression", "TopK", "Resize"]


def to_float16(core: onnx.ModelProto) -> onnx.ModelProto:
    """Weights and arithmetic in half precision; float32 in and out."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    given = onnx.ModelProto()
    given.CopyFrom(core)
    made = OnnxModel(convert_float_to_float16(given, keep_io_types=True, op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_KEEP_FLOAT]))
    made.topological_sort()  # the converter appends its casts at the end
    return made.model


def to_int8(core: onnx.ModelProto, calibration: NDArray[np.float32], *, detects: bool) -> onnx.ModelProto:
    """Static quantisation: int8 weights by channel, uint8 activations whose ranges are those of `calibration`.

    Of a detector only convolutions are, and not those that decode: boxes in pixels and scores share tensors there, and one
    range cannot hold both.

    `calibration` is `[N, …]`, tensors as the network gets them. Weights use seven bits, since older CPUs' 8-bit
    multiply-add saturates otherwise. Raises InputError without calibration images.
    """
    if not len(calibration):
        raise InputError("int8", "there are no training images to calibrate it with", "give the data set a train split")
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rows: Iterator[dict[str, Any]] = ({INPUT: row[None]} for row in calibration)

        def get_next(self) -> dict[str, Any]:
            return next(self.rows, {}) or None  # pyright: ignore[reportReturnType] its own protocol ends with None

    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        plain, prepared, made = (str(Path(scratch) / name) for name in ("plain.onnx", "prepared.onnx", "made.onnx"))
        onnx.save(core, plain)
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            made,
            Reader(),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            op_types_to_quantize=["Conv"] if detects else None,
            nodes_to_exclude=_decoding(onnx.load(prepared)) if detects else None,
        )
        return onnx.load(made)


def _decoding(model: onnx.ModelProto) -> list[str]:
    """The convolutions that come after a softmax: a detector's head taking the mean of its distributions."""
    after = {output for node in model.graph.node if node.op_type == "Softmax" for output in node.output}
    names: list[str] = []
    for node in model.graph.node:
        if after & set(node.input):
            after |= set(node.output)
            if node.op_type == "Conv":
                names.append(node.name)
    return names
