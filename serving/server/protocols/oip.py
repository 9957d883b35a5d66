"""The Open Inference Protocol, version 2: what KServe, Triton, MLServer and their clients speak.

A picture is an element of a BYTES tensor `image` of shape `[N]` or `[N, 1]` (in JSON a text: base64 or a data URL; or raw
bytes by the binary tensor extension), or a UINT8 tensor `pixels` of shape `[N, height, width, 3]`. By the same extension
outputs are raw bytes behind the JSON, where `binary_data` of an output, or `binary_data_output` of the request, asks for
it. No other extension is offered, and a parameter of one is refused: an answer without it would be the answer to another
request.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass
from itertools import chain
from typing import Any

import msgspec

from registry.errors import InputError, shorten
from serving.server.protocols.plain import read_json
from serving.server.protocols.served import AnsweredPicture, Served
from serving.workers.messages import Item

_CHANNELS, _RANK = 3, 4
_FILES, _PIXELS = "image", "pixels"
_CONTENT_TYPES = ("base64", "str", "np")
"""How MLServer's clients say that a tensor is what it is here anyway."""
_MOST_NUMBERS = 1_000_000
"""In JSON; pictures of more numbers are sent by the binary tensor extension."""
_LENGTH = re.compile(r"[0-9]{1,12}", re.ASCII)


class Tensor(msgspec.Struct, forbid_unknown_fields=True):
    """One input. `data` is flat or nested; with the binary extension it comes after the JSON."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: dict[str, Any] = {}


class RequestedOutput(msgspec.Struct, forbid_unknown_fields=True):
    """A requested output."""

    name: str
    parameters: dict[str, Any] = {}


class InferRequest(msgspec.Struct, forbid_unknown_fields=True):
    """An inference request."""

    inputs: list[Tensor]
    id: str | None = None
    parameters: dict[str, Any] = {}
    outputs: list[RequestedOutput] | None = None


@dataclass(frozen=True)
class ParsedRequest:
    """A parsed request: pictures as file bytes or as text still to be decoded, and the requested outputs.

    `outputs` are names, and whether each is sent as bytes behind the JSON.
    """

    items: list[Item | str]
    outputs: list[tuple[str, bool]]
    id: str | None


def read_request(served: Served, body: bytes, json_length: str | None, most: int) -> ParsedRequest:
    """The request's pictures, `most` at most. `json_length` is the header Inference-Header-Content-Length.

    Raises InputError.
    """
    if json_length is not None and not (_LENGTH.fullmatch(json_length) and int(json_length) <= len(body)):
        raise InputError("Inference-Header-Content-Length", "is not the length of the JSON part", "fix the header")
    cut = int(json_length) if json_length is not None else len(body)
    request = read_json(body[:cut], InferRequest, _MOST_NUMBERS)
    if len(request.inputs) != 1:
        raise InputError("inputs", "has to hold one tensor", f"send '{_FILES}' (BYTES) or '{_PIXELS}' (UINT8)")
    _check_offered("request", request.parameters, {"binary_data_output", "content_type"})
    known, binary = _outputs(served), _flag(request.parameters, "binary_data_output", usual=False)
    wanted = request.outputs or [RequestedOutput(name) for name in known]
    if unknown := {output.name for output in wanted} - known.keys():
        raise InputError(f"output '{min(unknown)}'", "is not one of this model's", f"ask for {', '.join(known)}")
    for output in wanted:
        _check_offered(f"output '{output.name}'", output.parameters, {"binary_data"})
    outputs = [(output.name, _flag(output.parameters, "binary_data", usual=binary)) for output in wanted]
    return ParsedRequest(_items(request.inputs[0], body[cut:] if json_length is not None else b"", most), outputs, request.id)


def _flag(parameters: dict[str, Any], name: str, *, usual: bool) -> bool:
    value = parameters.get(name, usual)
    if not isinstance(value, bool):
        raise InputError(name, "is neither true nor false", "fix the parameter")
    return value


def _check_offered(subject: str, parameters: dict[str, Any], offered: set[str]) -> None:
    """Refuse a parameter of an extension that is not offered, such as `classification` or `sequence_id`."""
    for name in parameters.keys() - offered:
        raise InputError(shorten(subject, 80), f"has the parameter '{shorten(name, 60)}', which is not offered", "leave it out")
    if parameters.get("content_type", "base64") not in _CONTENT_TYPES:
        raise InputError(shorten(subject, 80), "has a content_type that is not offered", f"send {' or '.join(_CONTENT_TYPES)}")


def _items(tensor: Tensor, binary: bytes, most: int) -> list[Item | str]:
    _check_offered(tensor.name, tensor.parameters, {"binary_data_size", "content_type"})
    size = tensor.parameters.get("binary_data_size")
    if size is not None and (not isinstance(size, int) or size != len(binary)):
        raise InputError(tensor.name, "has another binary_data_size than what was sent", "fix the parameter")
    if any(side < 0 for side in tensor.shape):
        raise InputError(tensor.name, "has a negative side in its shape", "fix the shape")
    if tensor.shape and tensor.shape[0] > most:
        raise InputError(tensor.name, f"holds more than {most} pictures", "send fewer at a time")
    if tensor.datatype == "BYTES" and tensor.shape and tensor.shape[1:] in ([], [1]):  # Triton's tools send [N, 1]
        items = _counted(binary, tensor.shape[0]) if size is not None else _flat(tensor.data)
        if len(items) != tensor.shape[0] or not all(isinstance(item, str | Item) for item in items):
            raise InputError(tensor.name, f"does not hold {tensor.shape[0]} pictures", "fix its shape or data")
        return items
    if tensor.datatype == "UINT8" and len(tensor.shape) == _RANK and tensor.shape[-1] == _CHANNELS:
        return _pixels(tensor, binary if size is not None else None)
    remedy = f"send '{_FILES}' as BYTES [N], or '{_PIXELS}' as UINT8 [N, height, width, 3]"
    raise InputError(tensor.name, f"is {tensor.datatype} {tensor.shape}, which holds no pictures", remedy)


def _counted(binary: bytes, most: int) -> list[Item | str]:
    """Elements of a BYTES tensor: four bytes of length, little-endian, then the bytes."""
    items, at = list[Item | str](), 0
    while at + 4 <= len(binary) and len(items) < most:
        (size,) = struct.unpack_from("<I", binary, at)
        if at + 4 + size > len(binary):
            break
        items.append(Item(binary[at + 4 : at + 4 + size]))
        at += 4 + size
    if at != len(binary):
        raise InputError(_FILES, f"is not {most} whole elements", "write each element's length before it, and fix its shape")
    return items


def _pixels(tensor: Tensor, binary: bytes | None) -> list[Item | str]:
    count, height, width, _ = tensor.shape
    if binary is None:
        try:
            binary = bytes(_flat(tensor.data))
        except (TypeError, ValueError) as error:
            raise InputError(tensor.name, "holds something other than numbers of 0 to 255", "fix its data") from error
    if len(binary) != math.prod(tensor.shape) or not binary:
        raise InputError(tensor.name, f"does not hold the {math.prod(tensor.shape)} numbers of its shape", "fix its shape")
    size = height * width * _CHANNELS
    return [Item(binary[index * size : (index + 1) * size], (height, width)) for index in range(count)]


def _flat(data: Any) -> list[Any]:
    """Nested lists, flat; no deeper than a tensor is."""
    elements: list[Any] = data if isinstance(data, list) else [data]
    for _ in range(_RANK - 1):
        kinds = set(map(type, elements))
        if list not in kinds:
            break
        if kinds != {list}:
            raise InputError("data", "holds lists beside values", "send a flat list, or one nested as the shape says")
        elements = list(chain.from_iterable(elements))
    return elements


def _outputs(served: Served) -> dict[str, tuple[str, list[int]]]:
    """Name → datatype and the shape of one picture's part."""
    if served.detects:
        return {"detections": ("FP32", list(served.row))}
    return {"probabilities": ("FP32", list(served.row)), "label": ("BYTES", [])}


def respond(served: Served, parsed: ParsedRequest, answered: list[AnsweredPicture]) -> tuple[dict[str, Any], bytes]:
    """The requested tensors, and the bytes of those that go behind the JSON, in order."""
    outputs, behind = list[dict[str, Any]](), bytearray()
    for name, binary in parsed.outputs:
        kind, shape = _outputs(served)[name]
        labels = [picture.label for picture in answered] if name == "label" else []
        tensor: dict[str, Any] = {"name": name, "datatype": kind, "shape": [len(answered), *shape]}
        if binary:
            data = b"".join(map(_element, labels) if name == "label" else (picture.row for picture in answered))
            tensor["parameters"] = {"binary_data_size": len(data)}
            behind += data
        else:
            tensor["data"] = labels if name == "label" else list(chain.from_iterable(picture.numbers for picture in answered))
        outputs.append(tensor)
    answer = {"model_name": served.model, "model_version": str(served.version), "outputs": outputs}
    return answer | ({"id": parsed.id} if parsed.id is not None else {}), bytes(behind)


def _element(text: str) -> bytes:
    """An element of a BYTES tensor."""
    data = text.encode()
    return struct.pack("<I", len(data)) + data


def metadata(served: Served) -> dict[str, Any]:
    """The model's inputs and outputs."""
    return {
        "name": served.model,
        "versions": [str(served.version)],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": _FILES, "datatype": "BYTES", "shape": [-1]},
            {"name": _PIXELS, "datatype": "UINT8", "shape": [-1, -1, -1, _CHANNELS]},
        ],
        "outputs": [
            {"name": name, "datatype": kind, "shape": [-1, *shape]} for name, (kind, shape) in _outputs(served).items()
        ],
        "parameters": {"labels": served.labels, "bundle": served.bundle},
    }
