"""What an image file's header says, read before anything is decoded: kind, sides, orientation, and how much work it is.

A few hundred bytes can ask for minutes of a decoder's time, so each bound is checked here, on the header alone, and the
parts of a file that only cost time (comments, profiles, other EXIF tags, frames after the first) never reach a decoder.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from registry.errors import InputError
from serving.bundle.exif import international_text, orientation_of, raw_profile

MAX_PIXELS = 64_000_000
"""Images with more pixels are refused before they are decoded: a small file can hold a huge picture."""

MAX_ASPECT = 100
"""A picture one pixel wide and very long is small until its shorter side is scaled up."""

MAX_SCANS, MAX_SCANNED = 100, 10 * MAX_PIXELS
"""A progressive JPEG is decoded once a scan. Cameras and encoders write about ten; each may be a few bytes long."""

MAX_PARTS = 10_000
"""Segments of a JPEG's head, or chunks of a PNG: parsers take microseconds for each, and a file can hold millions."""

MAX_RAW = 4 * MAX_PIXELS
"""Bytes before they become RGB: 16 bits per channel are twice those of 8."""

MAX_RUN_PIXELS, MAX_RUN_BYTES = 4_000_000, 262_144
"""Of a run-length encoded BMP, which Pillow decodes byte by byte in Python."""

_FRAMES, _HUFFMAN, _SEQUENTIAL = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}, range(0xC0, 0xC8), {0xC0, 0xC1}
_FILL, _SCAN, _APP1 = 0xFF, 0xDA, 0xE1
_DROPPED = {*range(0xE0, 0xF0), 0xFE} - {0xE0, 0xEE}
"""Application data and comments; JFIF's and Adobe's stay, which say how colours are coded."""
_OS2 = 12
"""The length of the oldest BMP header."""
_ALONE = {0x01, *range(0xD0, 0xD9)}
_SCAN_OR_END = re.compile(rb"\xff[\xda\xd9]")
_INFLATED = 1032
"""The most that a byte of deflate stands for."""
_JPEG_PIXELS = 1024
"""The most pixels for which a byte of Huffman codes can stand, with a margin of three."""
_GLANCED, _PROGRESSIVE = 200, 8
"""Segments that are looked at to weigh a picture; and the weight of a pixel that is decoded in several passes."""
_DEPTHS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""PNG colour type → channels."""
_NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}


class BrokenImageError(Exception):
    """The file does not follow its own format; the decoder's caller says so in our words."""


class ImageHeader(NamedTuple):
    """`orientation` is EXIF's, 1 to 8; `passes` are a JPEG's scans; `spans` are the parts that a decoder needs, if not all."""

    kind: str
    width: int
    height: int
    orientation: int = 1
    passes: int = 1
    raw_bytes: int = 0
    spans: tuple[tuple[int, int], ...] = ()

    def needed(self, data: bytes) -> bytes:
        """The file without the parts that cost a decoder time and change no pixel."""
        return b"".join(data[start:end] for start, end in self.spans) if self.spans else data


def read_header(data: bytes, name: str = "image") -> ImageHeader:
    """The header of a JPEG, PNG, WebP or BMP file whose bounds hold.

    Raises InputError for a picture beyond a bound, BrokenImageError (or a struct or index error) for what is no such file.
    """
    if data.startswith(b"\xff\xd8\xff"):
        header = _jpeg(data, name)
    elif data.startswith(b"\x89PNG\r\n\x1a\n"):
        header = _png(data, name)
    elif data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        header = _webp(data, name)
    elif data.startswith(b"BM"):
        header = _bmp(data, name)
    else:
        raise BrokenImageError
    if header.passes > MAX_SCANS or header.passes * header.width * header.height > MAX_SCANNED:
        raise InputError(name, f"is a JPEG of {header.passes} scans, which is too much work", "save it with fewer")
    if header.raw_bytes > MAX_RAW:
        raise InputError(name, f"holds more than {MAX_RAW:,} bytes of pixels", "send a smaller picture")
    return header


def weigh(data: bytes) -> int:
    """The pixels of a file, times what its kind takes to decode; 0 for what is no picture. Looks at its first bytes alone.

    Raises InputError for sides beyond a bound, so that no such file is sent to a worker.
    """
    width, height, weight = 0, 0, 1
    try:
        if data.startswith(b"\xff\xd8\xff"):
            for marker, at, _ in islice(_segments(data), _GLANCED):
                if marker in _FRAMES:
                    height, width = struct.unpack_from(">HH", data, at + 5)
                    weight = 1 if marker in _SEQUENTIAL else _PROGRESSIVE
                    break
        elif data.startswith(b"\x89PNG\r\n\x1a\n"):
            width, height = struct.unpack_from(">II", data, 16)
        elif data.startswith(b"RIFF"):
            _, width, height, *_ = _webp(data, "image")
            weight = _PROGRESSIVE
        elif data.startswith(b"BM"):
            _, width, height, *_ = _bmp(data, "image")
        check_sides(width, height)
    except (BrokenImageError, IndexError, struct.error):
        return 0
    return width * height * weight


def check_sides(width: int, height: int, name: str = "image") -> None:
    """Raise InputError for a picture too large to be decoded, or too thin to be scaled."""
    if width <= 0 or height <= 0:
        raise BrokenImageError
    if width * height > MAX_PIXELS:
        raise InputError(name, f"has more than {MAX_PIXELS:,} pixels", "send a smaller picture")
    check_shape(width, height, name)


def check_shape(width: int, height: int, name: str = "image") -> None:
    """Raise InputError for a picture so thin that it would grow out of bounds when its shorter side is scaled up."""
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise InputError(name, f"is more than {MAX_ASPECT} times longer than it is wide", "crop it")


def _jpeg(data: bytes, name: str) -> ImageHeader:
    """Follow the segments to the first scan; those that no pixel depends on are left out."""
    sides, components, coded, exif, xmp, kept = (0, 0), 0, 0, b"", b"", [(0, 2)]
    at, end = len(data), len(data)
    for marker, at, end in _segments(data):
        if marker in _FRAMES:
            if coded:
                raise BrokenImageError
            coded, height, width = marker, *struct.unpack_from(">HH", data, at + 5)
            sides, components = (width, height), data[at + 9]
        elif marker == _APP1:
            body = data[at + 4 : end]
            exif = exif or (body if body.startswith(b"Exif\0") else b"")
            xmp = xmp or (body if body.startswith(b"http://ns.adobe.com/xap/1.0/\0") else b"")
        if marker not in _DROPPED:
            kept.append((at, end))
        if marker == _SCAN:
            break
    width, height = sides
    check_sides(width, height, name)
    if coded in _HUFFMAN and (len(data) - at) * _JPEG_PIXELS < width * height:
        raise BrokenImageError  # cut off: the decoder would paint it grey to its end before it says so
    scans = 1 if coded in _SEQUENTIAL and data[at + 4] == components else _scans(data, at)
    spans = (*kept, (end, len(data)))
    return ImageHeader("JPEG", width, height, orientation_of(exif, xmp), scans, spans=spans)


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """A JPEG's segments up to the first scan: marker, start, end."""
    at = 2
    for _ in range(MAX_PARTS):
        if data[at] != _FILL:
            raise BrokenImageError
        marker = data[at + 1]
        if marker in {0x00, _FILL}:
            at += 1 if marker else 2
            continue
        end = at + 2 if marker in _ALONE else at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker not in _ALONE and (end < at + 4 or end > len(data)):
            raise BrokenImageError
        yield marker, at, end
        at = end
    raise BrokenImageError


def _scans(data: bytes, at: int) -> int:
    """How many scans begin between here and the end of the image; one more than is allowed is enough to know.

    A picture's trailer, such as a phone's film, may hold the marker's two bytes by chance.
    """
    if (count := data.count(b"\xff\xda", at)) <= MAX_SCANS:
        return count
    for count in range(MAX_SCANS + 1):
        match = _SCAN_OR_END.search(data, at)
        if match is None or match[0] == b"\xff\xd9":
            return count
        at = match.end()
    return MAX_SCANS + 1


def _png(data: bytes, name: str) -> ImageHeader:
    """Follow the chunks; those that no pixel depends on are left out."""
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    check_sides(width, height, name)
    raw = (width * _DEPTHS.get(colour, 4) * depth + 7) // 8 * height
    kept, exif, xmp, packed, dropped = [(0, 8)], b"", b"", 0, False
    for kind, at, end in _chunks(data):
        if kind in _NEEDED:
            kept.append((at, end))
            packed += end - at - 12 if kind == b"IDAT" else 0
            continue
        dropped, body = True, data[at + 8 : end - 4]
        if kind == b"eXIf":
            exif = body
        elif kind == b"iTXt" and body.startswith(b"XML:com.adobe.xmp\0"):
            xmp = international_text(body)
        elif kind in {b"zTXt", b"tEXt"} and body.startswith(b"Raw profile type exif\0"):
            exif = exif or raw_profile(body.partition(b"\0")[2], packed=kind == b"zTXt")
    if packed * _INFLATED < raw:
        raise BrokenImageError  # no stream of this length inflates to so many pixels
    return ImageHeader("PNG", width, height, orientation_of(exif, xmp), 1, raw, tuple(kept) if dropped else ())


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """A PNG's chunks: kind, start, end."""
    at = 8
    for _ in range(MAX_PARTS):
        size, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        if end > len(data):
            raise BrokenImageError
        yield kind, at, end
        if kind == b"IEND":
            return
        at = end
    raise BrokenImageError


def _webp(data: bytes, name: str) -> ImageHeader:
    """EXIF is read from the opened file: it is behind the picture."""
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        raise BrokenImageError
    check_sides(width, height, name)
    return ImageHeader("WEBP", width, height)


def _bmp(data: bytes, name: str) -> ImageHeader:
    (size,) = struct.unpack_from("<I", data, 14)
    if size == _OS2:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        coded = 0
    else:
        width, height, _, depth, coded = struct.unpack_from("<iiHHI", data, 18)
    check_sides(width, abs(height), name)
    height, raw = abs(height), (width * depth + 31) // 32 * 4 * abs(height)
    if coded in {1, 2}:
        if len(data) > MAX_RUN_BYTES or width * height > MAX_RUN_PIXELS:
            raise InputError(name, "is a large BMP with run-length encoding", "save it as a PNG")
        raw = 0
    elif len(data) + 3 < raw:
        raise BrokenImageError
    return ImageHeader("BMP", width, height, raw_bytes=raw)
