"""A data set whose pictures are of every kind that decoders disagree about, and a fingerprint of a folder."""

from __future__ import annotations

import hashlib
import struct
import sys
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageCms

from pipelines.data.dataset import Box, DataSet, FrameRow, Manifest
from pipelines.job.jobfile import Split
from registry.digests import sha256_bytes
from serving.bundle.preprocess import decode

sys.path.insert(0, str(Path(__file__).parents[2] / "serving" / "bundle"))
from image_files import CUT_EXIF, chunk, mutations, picture, rational_exif, saved, segment, with_chunks, with_segments

__all__ = ["KINDS", "LABELS", "every_kind", "fingerprint", "mutations", "with_boxes"]
_XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="%d"/></x:xmpmeta>'


def _jpegs() -> dict[str, bytes]:
    image, odd = picture(48, 32), picture(49, 33)
    plain, srgb = saved(image, quality=90), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + _XMP % 6)
    exif = {turn: with_segments(plain, segment(0xE1, b"Exif\0\0" + rational_exif(turn))) for turn in range(1, 9)}
    return {
        "plain.jpg": plain,
        "odd sides.jpg": saved(odd, quality=75),
        "progressive.jpg": saved(odd, progressive=True),
        "no subsampling.jpg": saved(odd, subsampling=0),
        "4-2-2.jpg": saved(odd, subsampling=1),
        "restarts.jpg": saved(odd, restart_marker_blocks=1),
        "coded as RGB.jpg": saved(image, keep_rgb=True),
        "grey.jpg": saved(image.convert("L")),
        "CMYK.jpg": saved(image.convert("CMYK")),
        "with a profile.jpg": saved(image, icc_profile=srgb),
        "two pictures.jpg": saved(image, "MPO", save_all=True, append_images=[image.rotate(180)]),
        "a trailer.jpg": plain + b"of a phone",
        "a zero behind its end.jpg": plain + b"\0",
        "a trailer and turned.jpg": exif[6] + b"of a phone",
        "a trailer that ends as a JPEG.jpg": plain + b"of a phone\xff\xd9",
        "turned by XMP.jpg": with_segments(plain, xmp),
        "turned by both.jpg": with_segments(plain, segment(0xE1, b"Exif\0\0" + rational_exif(3)) + xmp),
        "cut EXIF.jpg": with_segments(plain, segment(0xE1, b"Exif\0\0" + CUT_EXIF)),
        "called png.png": plain,
        "called bmp.bmp": plain + b"of a phone",
        "ENDING.JPG": plain,
        "ending.jpeg": plain,
        **{f"turned by EXIF {turn}.jpg": content for turn, content in exif.items()},
    }


def _pngs() -> dict[str, bytes]:
    image = picture(48, 32)
    plain, alpha = saved(image, "PNG"), image.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(image.size))
    deep = np.asarray(image).astype(np.uint16) * 255 + 77
    xmp = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + _XMP % 6)
    return {
        "plain.png": plain,
        "called jpg.jpg": plain,
        "palette.png": saved(image.convert("P"), "PNG"),
        "palette with a hole.png": saved(image.convert("P"), "PNG", transparency=3),
        "one bit.png": saved(image.convert("1"), "PNG"),
        "grey.png": saved(image.convert("L"), "PNG"),
        "grey with alpha.png": saved(alpha.convert("LA"), "PNG"),
        "alpha.png": saved(alpha, "PNG"),
        "16 bits.png": cv2.imencode(".png", deep)[1].tobytes(),
        "16 bits, grey.png": cv2.imencode(".png", deep[..., 0])[1].tobytes(),
        "dark by its gamma.png": with_chunks(plain, chunk(b"gAMA", struct.pack(">I", 100_000))),
        "turned by EXIF.png": with_chunks(plain, chunk(b"eXIf", rational_exif(6))),
        "turned by XMP.png": with_chunks(plain, xmp),
        "cut EXIF.png": with_chunks(plain, chunk(b"eXIf", CUT_EXIF)),
        "moving.png": saved(image, "PNG", save_all=True, append_images=[image.rotate(180)]),
    }


def _others() -> dict[str, bytes]:
    image, exif = picture(48, 32), Image.Exif()
    exif[0x0112] = 6
    alpha = image.copy()
    alpha.putalpha(Image.linear_gradient("L").resize(image.size))
    return {
        "plain.webp": saved(image, "WEBP"),
        "lossless.webp": saved(image, "WEBP", lossless=True),
        "alpha.webp": saved(alpha, "WEBP"),
        "turned by EXIF.webp": saved(image, "WEBP", exif=exif),
        "turned by XMP.webp": saved(image, "WEBP", xmp=_XMP % 6),
        "moving.webp": saved(image, "WEBP", save_all=True, append_images=[image.rotate(180)]),
        "plain.bmp": saved(image, "BMP"),
        "palette.bmp": saved(image.convert("P"), "BMP"),
        "one bit.bmp": saved(image.convert("1"), "BMP"),
        "called jpg, a BMP.jpg": saved(image, "BMP"),
        "10 pixels.jpg": saved(picture(10, 10)),
        "thin.jpg": saved(picture(600, 10)),
        "large.jpg": saved(picture(300, 260)),
    }


def _named() -> dict[str, bytes]:
    """Names that are patterns, comments, lists, caches or splits to somebody."""
    names = ["*.jpg", "a*.jpg", "[0-9].jpg", "a, b.jpg", "#1.jpg", "train.jpg", "images.jpg", "é.jpg", "e\u0301.jpg"]
    names += [
        ".hidden.jpg",
        "x.cache.jpg",
        "x.npy.jpg",
        "%s{0}.jpg",
        " .jpg",
        "'\".jpg",
        "👩‍👩‍👧.jpg",
        "n" * 240 + ".jpg",
        "http:.jpg",
    ]
    return {name: saved(picture(16 + number, 16)) for number, name in enumerate(names)}


KINDS = _jpegs() | _pngs() | _others() | _named()
LABELS = sorted(["n02102040", "n01440764", "10", "2", "train", "val", "$1_$2", "*", "n01440764.cache", "a" * 200, "None"])


def every_kind(folder: Path) -> DataSet:
    """Each of `KINDS` in `train` and in `val`, dealt to classes of any name."""
    rows = list[FrameRow]()
    for split in ("train", "val"):
        for number, (name, content) in enumerate(KINDS.items()):
            label, sides = LABELS[number % len(LABELS)], decode(content, name).size
            file = folder / split / label / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
            own = sha256_bytes(content)
            rows.append(
                FrameRow(
                    file=file.relative_to(folder).as_posix(),
                    sha256=own,
                    clip=f"{split}-{number}",
                    clip_sha256=own,
                    label=label,
                    split=split,
                    width=sides[0],
                    height=sides[1],
                )
            )
    return DataSet(folder, Manifest(labels=LABELS, source="images", split=Split(), frames=rows))


def with_boxes(data: DataSet) -> DataSet:
    """The same pictures as a detector's: none, one or several boxes each, some cut by an edge, outside, or of no area."""
    sides = [(0.1, 0.2, 0.5, 0.9), (0, 0, 1, 1), (1 / 3, 0.123456789, 0.987654321, 2 / 3)]
    sides += [(-0.4, 0.1, 0.3, 1.7), (1.2, 0.1, 1.5, 0.5), (0.5, 0.5, 0.5, 0.9), (0.6, 0.2, 0.4, 0.8), (0, 0, float("nan"), 1)]
    rows = list[FrameRow]()
    for number, row in enumerate(data.manifest.frames):
        kept = [sides[(number + step) % len(sides)] for step in range(number % 4)]
        boxes = tuple(
            Box(label=LABELS[(number + at) % len(LABELS)], left=a, top=b, right=c, bottom=d)
            for at, (a, b, c, d) in enumerate(kept)
        )
        rows.append(row.model_copy(update={"label": "", "boxes": boxes}))
    return DataSet(data.folder, data.manifest.model_copy(update={"task": "detect", "frames": rows}))


def fingerprint(folder: Path) -> dict[str, tuple[object, ...]]:
    """Every entry below a folder: its bytes, and what says that it was written, replaced or linked meanwhile."""
    entries = dict[str, tuple[object, ...]]()
    for path in [folder, *folder.rglob("*")]:
        facts = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        entries[str(path)] = (content, facts.st_mtime_ns, facts.st_ino, facts.st_nlink, facts.st_mode)
    return entries
