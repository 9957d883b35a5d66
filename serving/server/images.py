"""Pictures as text: base64, data URLs, and URLs with --fetch."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable
from urllib.parse import unquote_to_bytes

from registry.errors import InputError

Fetch = Callable[[str], Awaitable[bytes]]
"""Downloads a picture from a URL."""


async def image_bytes(text: str, fetch: Fetch | None, name: str = "image") -> bytes:
    """An image file's bytes from base64, a data URL, or a URL. Raises InputError."""
    if text.startswith("data:"):
        return _data_url(text, name)
    if text.startswith(("http://", "https://")):
        if fetch is None:
            raise InputError(name, "is an address, and this server fetches none", "send the image itself, in base64")
        return await fetch(text)
    return _base64(text, name)


def _data_url(text: str, name: str) -> bytes:
    kind, comma, data = text.removeprefix("data:").partition(",")
    if not comma:
        raise InputError(name, "is a data URL without a comma", "send data:image/jpeg;base64,…")
    return _base64(data, name) if kind.endswith(";base64") else unquote_to_bytes(data)


def _base64(text: str, name: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(name, "is neither base64 nor a data URL", "encode the image file's bytes in base64") from error
    if not data:
        raise InputError(name, "is empty", "send an image file")
    return data
