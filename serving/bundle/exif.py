"""The orientation of a picture, out of EXIF or XMP, in bounded time. No other tag is looked at, and none is ever written."""

from __future__ import annotations

import re
import struct
import zlib

_ORIENTATION, _WHOLE_NUMBERS = 0x0112, {1: "B", 3: "H", 4: "I"}
_MOST_TAGS, _MOST_TEXT = 512, 65_536
_XMP = re.compile(rb'tiff:Orientation(?:="|>)([1-8])')


def orientation_of(exif: bytes, xmp: bytes = b"") -> int:
    """EXIF's orientation, 1 to 8, or else XMP's; 1 for what cannot be read, as viewers do. No other tag is looked at."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    try:
        if order is not None:
            (start,) = struct.unpack_from(order + "I", tiff, 4)
            (count,) = struct.unpack_from(order + "H", tiff, start)
            for at in range(start + 2, start + 2 + 12 * min(count, _MOST_TAGS), 12):
                tag, kind, values = struct.unpack_from(order + "HHI", tiff, at)
                if tag == _ORIENTATION and values == 1 and kind in _WHOLE_NUMBERS:
                    (value,) = struct.unpack_from(order + _WHOLE_NUMBERS[kind], tiff, at + 8)
                    return value if value in range(1, 9) else 1
    except struct.error:
        pass
    match = _XMP.search(xmp[:_MOST_TEXT])
    return int(match[1]) if match else 1


def international_text(body: bytes) -> bytes:
    """The text of an iTXt chunk, of bounded length."""
    _, _, rest = body.partition(b"\0")
    text = rest[2:].split(b"\0", 2)[-1]
    return _inflated(text) if rest[:1] == b"\x01" else text


def raw_profile(body: bytes, *, packed: bool) -> bytes:
    """EXIF as ImageMagick writes it into a text chunk: a name, a length, and hexadecimal digits."""
    text = _inflated(body[1:]) if packed else body[:_MOST_TEXT]
    digits = b"".join(text.split()[2:])
    try:
        return bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return b""


def _inflated(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, _MOST_TEXT)
    except zlib.error:
        return b""
