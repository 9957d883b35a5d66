"""POST /predict: an image file as the body, as a form's file, or in JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from registry.errors import InputError, shorten
from serving.server.protocols.served import AnsweredPicture, Served, UnsupportedError

_RAW = ("image/", "application/octet-stream", "application/x-www-form-urlencoded")
"""The last one is what `curl --data-binary` sends by default."""


_MOST_VALUES = 10_000


class PlainRequest(msgspec.Struct, forbid_unknown_fields=True):
    """One picture, or several: base64, data URLs, or addresses where they are allowed."""

    image: str | None = None
    images: list[str] | None = None


def kind_of(content_type: str) -> str:
    """How a body of this type is read: raw, form or json. Raises UnsupportedError."""
    plain = content_type.partition(";")[0].strip().lower()
    if not plain or plain.startswith(_RAW):
        return "raw"
    if plain == "multipart/form-data":
        return "form"
    if plain == "application/json":
        return "json"
    raise UnsupportedError(
        f"content type '{shorten(plain, 60)}'", "is not read here", "send an image file, a form with one, or application/json"
    )


def texts_of(body: bytes) -> tuple[list[str], bool]:
    """The pictures of a JSON body, and whether it sent a list."""
    request = read_json(body, PlainRequest)
    if (request.image is None) == (request.images is None):
        raise InputError("request", "has to hold either `image` or `images`", 'send {"image": "<base64>"}')
    return ([request.image], False) if request.image is not None else (request.images or [], True)


def respond(served: Served, answered: list[AnsweredPicture], *, several: bool) -> dict[str, Any]:
    """The answer to one picture, or to a list of them."""
    predictions = [picture.answer for picture in answered]
    return ({"predictions": predictions} if several else predictions[0]) | served.named()


def read_json(body: bytes, kind: type[Any], most: int = _MOST_VALUES) -> Any:
    """A JSON body as a record. Raises InputError naming the field, or for more than `most` values before any is made."""
    if body.count(b",") >= most:  # values are set apart by commas, and base64 has none
        raise InputError("request", f"holds more than {most:,} values", "send fewer, or images as bytes")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError("request", f"is not as expected ({shorten(error, 160)})", "see /openapi.json") from error
