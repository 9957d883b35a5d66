"""A bundle to try an image with: `python -m serving.bundle.trial FOLDER` tells red, green and blue pictures apart.

Its network has nine weights, drawn by this file, and is written as ONNX's bytes without the `onnx` package, which no image
of ours holds. RunPod's Hub tests a listing with it: no address of a bundle is needed there.
"""

from __future__ import annotations

import struct
import sys
from dataclasses import asdict
from pathlib import Path

from registry.files import building, write_atomic, write_json
from serving.bundle.preprocess import Preprocess
from serving.bundle.seal import BundleIndex, seal

LABELS = ("red", "green", "blue")
_SIZE, _GAIN = 32, 20.0
_FLOAT, _INT = 1, 2
_IR, _OPSET = 10, 18


def trial_bundle(folder: Path) -> BundleIndex:
    """Make the bundle, whole or not at all; the same bytes each time."""
    with building(folder) as work:
        write_atomic(work / "model.onnx", _network())
        write_json(work / "preprocess.json", asdict(Preprocess(size=_SIZE)))
        write_json(work / "labels.json", list(LABELS))
        return seal(work, BundleIndex(model="trial", version=1, model_digest="0" * 64, files={}, tools={}))


def _network() -> bytes:
    """The mean of each colour, and a softmax of their differences."""
    count = len(LABELS)
    identity = [_GAIN if row == column else 0.0 for row in range(count) for column in range(count)]
    nodes = [
        _node("GlobalAveragePool", ["images"], "pooled"),
        _node("Flatten", ["pooled"], "flat"),
        _node("MatMul", ["flat", "weights"], "logits"),
        _node("Softmax", ["logits"], "probabilities", _text(1, "axis") + _number(3, 1) + _number(20, _INT)),
    ]
    weights = _number(1, count) * 2 + _number(2, _FLOAT) + _text(8, "weights") + _bytes(9, struct.pack("<9f", *identity))
    graph = b"".join(_bytes(1, node) for node in nodes) + _text(2, "trial") + _bytes(5, weights)
    graph += _bytes(11, _value("images", [count, _SIZE, _SIZE])) + _bytes(12, _value("probabilities", [count]))
    return _number(1, _IR) + _bytes(7, graph) + _bytes(8, _text(1, "") + _number(2, _OPSET))


def _node(operator: str, inputs: list[str], output: str, attribute: bytes = b"") -> bytes:
    named = b"".join(_text(1, name) for name in inputs) + _text(2, output) + _text(4, operator)
    return named + (_bytes(5, attribute) if attribute else b"")


def _value(name: str, sides: list[int]) -> bytes:
    """A tensor of floats whose first side is the batch."""
    dims = [_text(2, "batch"), *(_number(1, side) for side in sides)]
    tensor = _number(1, _FLOAT) + _bytes(2, b"".join(_bytes(1, dim) for dim in dims))
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _number(field: int, value: int) -> bytes:
    """A field of Protocol Buffers' wire format that holds a whole number."""
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, content: bytes) -> bytes:
    """One that holds bytes, or another message."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, content: str) -> bytes:
    return _bytes(field, content.encode())


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the highest bit says that more follow."""
    more = bytearray()
    while value > 0x7F:  # noqa: PLR2004 seven bits
        more.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*more, value])


if __name__ == "__main__":
    trial_bundle(Path(sys.argv[1]))
