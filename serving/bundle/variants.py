"""What a bundle can contain: each variant's name, its path, its runtime, and its parity limits.

`onnx`                    uint8 image of any size in, preprocessing in the graph
`onnx-tensor`             float32 tensor in, for clients that preprocess by themselves
`onnx-float16`, `-int8`   as `onnx`, with half-precision or quantised weights
`tfjs-…`                  TensorFlow.js graph models; tensors in
`litert-…`                LiteRT (TensorFlow Lite) files for phones, small boards and LiteRT.js; tensors in, one image at a time
`transformersjs…`         ONNX beside the config and preprocessor files that Transformers.js looks for

A name that is not in the table belongs to another package's exporter; its files are in a folder of that name.
"""

from __future__ import annotations

from typing import Literal

from registry.records import Limits, Record

Precision = Literal["float32", "float16", "int8", "uint8"]

_EXACT = Limits()
_RESIZING = Limits(max_abs_diff=1e-2)
"""ONNX Runtime's resize differs from Pillow's by single grey levels in a pixel of a hundred."""
_HALF = Limits(max_abs_diff=2e-2)
_BYTE = Limits(max_abs_diff=1e-1, map_difference=0.05)
_INTEGER = Limits(top1_agreement=0.97, max_abs_diff=3e-1, map_difference=0.05)


class Variant(Record):
    """One way to ship a model. `limits` hold unless the job says otherwise."""

    name: str
    path: str
    runtime: Literal["onnx", "tfjs", "litert", "transformersjs", "other"]
    precision: Precision = "float32"
    limits: Limits = _EXACT


_TABLE = (
    Variant(name="onnx", path="model.onnx", runtime="onnx", limits=_RESIZING),
    Variant(name="onnx-tensor", path="model.tensor.onnx", runtime="onnx"),
    Variant(name="onnx-float16", path="model.float16.onnx", runtime="onnx", precision="float16", limits=_HALF),
    Variant(name="onnx-int8", path="model.int8.onnx", runtime="onnx", precision="int8", limits=_INTEGER),
    Variant(name="tfjs-float32", path="tfjs/float32", runtime="tfjs"),
    Variant(name="tfjs-float16", path="tfjs/float16", runtime="tfjs", precision="float16", limits=_HALF),
    Variant(name="tfjs-uint8", path="tfjs/uint8", runtime="tfjs", precision="uint8", limits=_BYTE),
    Variant(name="litert-float32", path="litert/float32.tflite", runtime="litert"),
    Variant(name="litert-float16", path="litert/float16.tflite", runtime="litert", precision="float16", limits=_HALF),
    Variant(name="litert-int8", path="litert/int8.tflite", runtime="litert", precision="int8", limits=_INTEGER),
    Variant(name="transformersjs", path="transformersjs/onnx/model.onnx", runtime="transformersjs", limits=_RESIZING),
    Variant(
        name="transformersjs-float16",
        path="transformersjs/onnx/model_fp16.onnx",
        runtime="transformersjs",
        precision="float16",
        limits=_HALF,
    ),
    Variant(
        name="transformersjs-int8",
        path="transformersjs/onnx/model_int8.onnx",
        runtime="transformersjs",
        precision="int8",
        limits=_INTEGER,
    ),
)
KNOWN = {variant.name: variant for variant in _TABLE}
MAIN = KNOWN["onnx"]
"""The variant that serving runs. It is always exported."""


class VariantSpec(Record):
    """A variant to export. An optional one is left out if it fails or exceeds its limits."""

    variant: Variant
    required: bool = True
    limits: Limits


def variant_spec(name: str, limits: Limits | None = None, *, required: bool = True) -> VariantSpec:
    """A variant by its name; an unknown name is another package's exporter."""
    variant = KNOWN.get(name) or Variant(name=name, path=name, runtime="other", limits=_HALF)
    return VariantSpec(variant=variant, required=required, limits=limits or variant.limits)
