"""Image files made by hand: what no encoder writes, and what attackers do."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

CUT_EXIF = b"MM\0*"
"""A PNG's EXIF of four bytes: it ends before it says where its tags are."""


def rational_exif(orientation: int = 6) -> bytes:
    """EXIF with an XResolution of type SRATIONAL, -1/0, which Pillow reads and cannot write."""
    resolution = 8 + 2 + 2 * 12 + 4
    entries = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0) + struct.pack(">HHII", 0x011A, 10, 1, resolution)
    return b"MM\0*" + struct.pack(">IH", 8, 2) + entries + struct.pack(">I", 0) + struct.pack(">ii", -1, 0)


def picture(width: int = 40, height: int = 20) -> Image.Image:
    """Colours that differ from corner to corner, so that a turn is seen."""
    return Image.merge("RGB", [Image.linear_gradient("L").rotate(turn).resize((width, height)) for turn in (0, 90, 180)])


def saved(image: Image.Image, kind: str = "JPEG", **options) -> bytes:
    """An image file's bytes."""
    held = io.BytesIO()
    image.save(held, kind, **options)
    return held.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(png: bytes, chunks: bytes) -> bytes:
    """A PNG with more chunks after its first one."""
    return png[:33] + chunks + png[33:]


def with_segments(jpeg: bytes, segments: bytes) -> bytes:
    """A JPEG with more segments before its first one."""
    return jpeg[:2] + segments + jpeg[2:]


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def blank_png(width: int, height: int) -> bytes:
    """A PNG of one channel and one bit, as small as they get."""
    rows = zlib.compress(bytes((1 + (width + 7) // 8) * min(height, 2_000_000)), 9)
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def many_scans(count: int, side: int = 256) -> bytes:
    """A progressive JPEG whose last scan is repeated."""
    jpeg = saved(Image.new("RGB", (side, side), (3, 9, 77)), progressive=True)
    start, end = jpeg.rindex(b"\xff\xda"), jpeg.rindex(b"\xff\xd9")
    return jpeg[:end] + jpeg[start:end] * count + jpeg[end:]


def hostile() -> dict[str, bytes]:
    """Small files that took a decoder seconds, or ended it."""
    png, jpeg = saved(picture(), "PNG"), saved(picture())
    bmp = bytearray(saved(Image.new("P", (1000, 1000)), "BMP"))
    bmp[30] = 1
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 65_535) + struct.pack("<HHII", 0x0132, 2, 60_000, 8) * 5_000
    return {
        "scans": many_scans(2000),
        "thin": blank_png(1, 60_000_000),
        "many tags": with_chunks(png, chunk(b"eXIf", exif)),
        "many chunks": with_chunks(png, chunk(b"teSt", b"") * 200_000),
        "many segments": with_segments(jpeg, segment(0xE1, b"Exif") * 200_000),
        "fill bytes": with_segments(jpeg, b"\xff" * 1_000_000),
        "run-length": bytes(bmp),
        "cut head": saved(Image.new("RGB", (7000, 7000)), progressive=True)[:2000],
        "text bombs": with_chunks(png, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(900_000))) * 100),
    }


def seeds() -> list[bytes]:
    """Whole files of every kind that people send, with EXIF, to be mutated."""
    exif, image = Image.Exif(), picture(31, 23)
    exif[0x0112], exif[0x010F] = 6, "maker"
    files = [saved(image, kind, exif=exif) for kind in ("JPEG", "PNG", "WEBP", "TIFF")]
    files += [saved(image, exif=exif, progressive=True), saved(image.convert("CMYK")), saved(image.convert("L"))]
    files += [saved(image, "WEBP", lossless=True, exif=exif), saved(image, "BMP"), saved(image.convert("P"), "GIF")]
    files += [with_chunks(saved(image.convert("RGBA"), "PNG"), chunk(b"eXIf", rational_exif()))]
    files += [saved(image, "PNG", save_all=True, append_images=[image.rotate(90).resize(image.size)])]
    files += [saved(image, "WEBP", save_all=True, append_images=[image.rotate(90).resize(image.size)])]
    return [*files, saved(image) + bytes(range(256))]


def mutations(seed: int, count: int) -> Iterator[bytes]:
    """Mutated files: bytes, runs, cuts, splices, and numbers of the format itself replaced by awkward ones."""
    choose, files = random.Random(seed), seeds()  # noqa: S311 a seeded sequence is what is wanted
    numbers = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
    for _ in range(count):
        data = bytearray(choose.choice(files))
        for _ in range(choose.choice((1, 1, 1, 2, 4, 16))):
            at, way = choose.randrange(len(data)), choose.randrange(6)
            if way == 0:
                data[at] ^= 1 << choose.randrange(8)
            elif way == 1:
                data[at] = choose.choice(numbers) & 0xFF
            elif way == 2:
                width = choose.choice((2, 4))
                data[at : at + width] = (choose.choice(numbers) % 256**width).to_bytes(width, choose.choice(("big", "little")))
            elif way == 3:
                del data[at : at + choose.randrange(1, 64)]
            elif way == 4:
                data[at:at] = data[at : at + choose.randrange(1, 64)]
            else:
                other = choose.choice(files)
                cut = choose.randrange(len(other))
                data[at:at] = other[cut : cut + choose.randrange(1, 64)]
            if not data:
                break
        yield _mended(bytes(data)) if choose.random() < 0.5 else bytes(data)


def _mended(data: bytes) -> bytes:
    """A PNG whose checksums are right again, so that its mutated fields reach the decoder; any other file as it is."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    parts, at = [data[:8]], 8
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4])
        parts.append(chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return b"".join(parts)
