"""Pictures as text: base64, data URLs, and URLs with --fetch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from registry.errors import InputError
from serving.inference.texts import file_of_text

Fetch = Callable[[str], Awaitable[bytes]]
"""Downloads a picture from a URL."""


async def image_bytes(text: str, fetch: Fetch | None, name: str = "image") -> bytes:
    """An image file's bytes from base64, a data URL, or a URL. Raises InputError."""
    if text.startswith(("http://", "https://")):
        if fetch is None:
            raise InputError(name, "is an address, and this server fetches none", "send the image itself, in base64")
        return await fetch(text)
    return file_of_text(text, name)
