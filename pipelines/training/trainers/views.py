"""What Ultralytics is given of a data set: copies that it reads as we do, under names that mean nothing to it.

Handed the files themselves, it writes JPEGs anew that have bytes behind their end, and caches beside what it reads; it turns
pictures by EXIF but not by XMP, converts CMYK in its own way, and skips what it cannot open; folders called n01440764 it
renames after ImageNet, which changes the order of the classes; and a path with a `*` is a pattern. So each picture is copied as
`<number>.jpg` only where Ultralytics accepts the copy as it is and decodes it to exactly our pixels, and is otherwise
written as a PNG of what we decode. Nothing is linked: kept versions of a data set share their files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from pipelines.data.dataset import DataSet, FrameRow
from registry.errors import InputError
from serving.bundle.preprocess import Pixels, Preprocess

SPLITS_SEEN = ("train", "val")
"""Never test: Ultralytics would look at it."""
_JPEG = b"\xff\xd8\xff"
_LEAST_SIDE = 10
"""Pixels; Ultralytics leaves out what is smaller, and trains on without a word."""


def classification_view(data: DataSet, folder: Path, preprocess: Preprocess) -> Path:
    """Write `<split>/<class number>/<image number>` for `train` and `val`, and return `folder`.

    Class numbers are of one width, so that their order is the labels'. Raises InputError naming a picture that Ultralytics
    would leave out.
    """
    names = neutral_names(data.manifest.labels)
    for split in SPLITS_SEEN:
        rows = data.rows(split)
        _check_sides(data, rows)
        stems = (folder / split / names[target] / f"{index:07d}" for index, target in enumerate(data.targets(rows)))
        copy_all(data.files(rows), stems, preprocess)
    return folder


def _check_sides(data: DataSet, rows: Sequence[FrameRow]) -> None:
    """Refuse what Ultralytics would leave out, before anything is copied."""
    if small := [row for row in rows if min(row.width, row.height) < _LEAST_SIDE]:
        first = data.folder / small[0].file
        more = f", as {len(small) - 1} more are" if len(small) > 1 else ""
        raise InputError(
            first,
            f"is smaller than {_LEAST_SIDE} pixels a side{more}, which Ultralytics leaves out",
            "take such pictures out of the data set, or train with `--trainers torch,keras`",
        )


def neutral_names(labels: Sequence[str]) -> list[str]:
    """A number for each class, which sorts as the classes do and is no word of anybody's."""
    digits = len(str(len(labels)))
    return [f"{index:0{digits}d}" for index in range(len(labels))]


def numbered_copies(files: Iterable[Path], folder: Path, preprocess: Preprocess) -> list[Path]:
    """Copies of some files, in their order, for what Ultralytics is only asked to predict."""
    files = list(files)
    return copy_all(files, (folder / f"{index:07d}" for index in range(len(files))), preprocess)


def copy_all(files: Iterable[Path], stems: Iterable[Path], preprocess: Preprocess) -> list[Path]:
    """Write what Ultralytics may have of each file under each stem, several at a time; returns where the copies lie."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda file, stem: _copy(file, stem, preprocess), files, stems))


def _copy(file: Path, stem: Path, preprocess: Preprocess) -> Path:
    """The file's own bytes where Ultralytics makes of them what we do, or else our pixels."""
    content = file.read_bytes()
    picture = preprocess.open(content, str(file))
    stem.parent.mkdir(parents=True, exist_ok=True)
    if content.startswith(_JPEG):
        copy = stem.with_suffix(".jpg")
        copy.write_bytes(content)
        if _reads(copy, np.asarray(picture)):
            return copy
        copy.unlink()
    copy = stem.with_suffix(".png")
    picture.save(copy, compress_level=1)
    return copy


def _reads(copy: Path, pixels: Pixels) -> bool:
    """Whether Ultralytics accepts a copy, and decodes it to our pixels after what its check may have done to it."""
    from ultralytics.data.utils import verify_image
    from ultralytics.utils.patches import imread

    _, accepted, *_ = verify_image(((str(copy), 0), ""))
    read = imread(str(copy)) if accepted else None
    return read is not None and np.array_equal(read[..., ::-1], pixels)
