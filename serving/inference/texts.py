"""Image files as text: base64 as the world's encoders write it, and data URLs."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_to_bytes

from registry.errors import InputError

_SPACES = b" \t\r\n\f\v"
_QUARTET, _MOST_PADDING = 4, 2


def file_of_text(text: str, name: str = "image") -> bytes:
    """The bytes that base64 or a data URL holds. Raises InputError for any other text, and for an empty one."""
    if text[:5].lower() == "data:":
        kind, comma, rest = text[5:].partition(",")
        if not comma:
            raise InputError(name, "is a data URL without a comma", "send data:image/jpeg;base64,…")
        data = unquote_to_bytes(rest)
        if kind.rstrip().lower().endswith(";base64"):
            data = decode_base64(data, name)
    else:
        data = decode_base64(text.encode("utf-8", "replace"), name)
    if not data:
        raise InputError(name, "is empty", "send an image file")
    return data


def decode_base64(text: bytes, name: str = "image") -> bytes:
    """Base64 as bytes, also with line ends (`base64`, MIME), without padding, or URL-safe. Raises InputError.

    A letter of no alphabet, letters of both, and padding in the middle or of a wrong length are refused: what such a text
    stands for is a guess.
    """
    try:
        if len(text) % _QUARTET == 0 and not text.endswith(b"==="):  # the usual one, at once; Python takes "AAAA===="
            return base64.b64decode(text, validate=True)
    except binascii.Error:
        pass
    plain = text.translate(None, _SPACES)
    if b"-" in plain or b"_" in plain:
        mixed = b"+" in plain or b"/" in plain
        plain = b"%" if mixed else plain.translate(bytes.maketrans(b"-_", b"+/"))
    bare = plain.rstrip(b"=")
    padding = len(plain) - len(bare)
    try:
        if padding > _MOST_PADDING or (padding and len(plain) % _QUARTET):
            raise binascii.Error  # noqa: TRY301 refused in one place
        return base64.b64decode(bare + b"=" * (-len(bare) % _QUARTET), validate=True)
    except binascii.Error as error:
        raise InputError(name, "is neither base64 nor a data URL", "encode the image file's bytes in base64") from error
