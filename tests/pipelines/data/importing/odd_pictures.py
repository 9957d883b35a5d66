"""Reading a folder as `import` does, and pictures of every kind that was seen to go wrong."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from pipelines.data.build import Dealing, write_dataset
from pipelines.data.dataset import DataSet
from pipelines.data.importing.open import left_out_of, notes_of, opened
from pipelines.job.jobfile import Data, Split


def quiet(*_: object) -> None:
    return


def read(
    root: Path, target: Path, *, strict: bool = False, group: str | None = None
) -> tuple[DataSet, dict[str, str], list[str]]:
    with opened(root, Data(group=group), strict=strict) as source:
        data = write_dataset(source, target, Dealing(Split()), quiet)
        return data, {item.file: item.why for item in left_out_of(source)}, notes_of(source)


def encoded(kind: str, size: tuple[int, int] = (40, 40), mode: str = "RGB", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize(size).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def animated(kind: str) -> bytes:
    frames = [Image.radial_gradient("L").resize((40, 40)).convert("RGB").rotate(angle) for angle in (0, 40, 80)]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


EXIF_CUT = b"Exif\0\0II*\0"
EXIF_ODD = b"Exif\0\0II*\0\x08\0\0\0\x02\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\x1a\x01\x0a\0\x01\0\0\0\x26\0\0\0\0\0\0\0\xff\xff\xff\xff\0\0\0\0"
READ: dict[str, Callable[[], bytes]] = {
    "animated.png": lambda: animated("PNG"),
    "animated.webp": lambda: animated("WEBP"),
    "cmyk.jpg": lambda: encoded("JPEG", mode="CMYK", exif=EXIF_CUT),
    "exif cut.png": lambda: encoded("PNG", exif=EXIF_CUT),
    "exif odd.png": lambda: encoded("PNG", exif=EXIF_ODD),
    "exif odd.webp": lambda: encoded("WEBP", exif=EXIF_ODD),
    "exif odd.jpg": lambda: encoded("JPEG", exif=EXIF_ODD),
    "16 bit.png": lambda: encoded("PNG", mode="I;16"),
    "palette.png": lambda: encoded("PNG", mode="P"),
    "rgba.webp": lambda: encoded("WEBP", mode="RGBA"),
    "icc.jpg": lambda: encoded("JPEG", icc_profile=b"\0" * 200),
    "png called.jpg": lambda: encoded("PNG"),
    "trailer.jpg": lambda: encoded("JPEG") + b"phone" * 50,
    "UPPER.JPG": lambda: encoded("JPEG"),
}
LEFT_OUT: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.jpg": (lambda: b"", "is empty"),
    "text.jpg": (lambda: b"not a picture", "is no JPEG"),
    "dot.png": (lambda: encoded("PNG", (1, 1)), "1x1 pixels"),
    "huge.png": (lambda: encoded("PNG", (12_000, 9_000), "1"), "pixels"),
    "thin.png": (lambda: encoded("PNG", (900, 5)), "times longer"),
    "cut.jpg": (lambda: encoded("JPEG", (200, 200), quality=99)[:900], "decoded"),
    "cut.png": (lambda: encoded("PNG", (200, 200))[:-40], "is no JPEG"),
    "gif called.jpg": (lambda: encoded("GIF"), "is no JPEG"),
    "clip called.jpg": (lambda: b"\0\0\0 ftypisom" + b"\0" * 200, "is no JPEG"),
    "some.gif": (lambda: encoded("GIF"), "convert it"),
    "some.tiff": (lambda: encoded("TIFF"), "convert it"),
    "README.txt": (lambda: b"hello", "is no picture"),
    "film.mp4": (lambda: b"\0\0\0 ftypisom", "a clip"),
    "more.zip": (lambda: b"PK", "an archive within"),
}
