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

from pipelines.data.dataset import Box, DataSet, FrameRow
from registry.errors import InputError
from registry.files import write_json
from serving.bundle.preprocess import Pixels, Preprocess

SPLITS_SEEN = ("train", "val")
"""Never test: Ultralytics would look at it."""
_JPEG = b"\xff\xd8\xff"
_AT_ONCE = 4
"""Pictures in memory; of the largest that are read, each takes 400 MB."""
_LEAST_SIDE = 10
"""Pixels; Ultralytics leaves out what is smaller, and trains on without a word."""


def classification_view(data: DataSet, folder: Path, preprocess: Preprocess) -> Path:
    """Write `<split>/<class number>/<image number>` for `train` and `val`, and return `folder`.

    Class numbers are of one width, so that their order is the labels'. Raises InputError naming a picture that Ultralytics
    would leave out.
    """
    if data.manifest.task != "classify":
        raise InputError(data.name, "is a detector's data set: its pictures have boxes, not a class", "train a detector")
    names = neutral_names(data.manifest.labels)
    for split in SPLITS_SEEN:
        rows = data.rows(split)
        _check_sides(data, rows)
        stems = (folder / split / names[target] / f"{index:07d}" for index, target in enumerate(data.targets(rows)))
        copy_all(data.files(rows), stems, preprocess)
    return folder


def detection_view(data: DataSet, folder: Path, preprocess: Preprocess) -> Path:
    """Write `images/<split>/<number>` and `labels/<split>/<number>.txt` for `train` and `val`; return `data.yaml`.

    Boxes are cut at the edges of their picture, and those without area are left out, since Ultralytics leaves out the whole
    picture of a box that lies outside. A picture without boxes has an empty file: it is background. Raises
    InputError for a data set without boxes, and naming a picture that Ultralytics would leave out.
    """
    if data.manifest.task != "detect":
        raise InputError(data.name, "is a classifier's data set, which has no boxes", "give one whose task is detect")
    index_of = {label: index for index, label in enumerate(data.manifest.labels)}
    for split in SPLITS_SEEN:
        rows, names = data.rows(split), [f"{index:07d}" for index in range(len(data.rows(split)))]
        _check_sides(data, rows)
        copy_all(data.files(rows), [folder / "images" / split / name for name in names], preprocess)
        labels = folder / "labels" / split
        labels.mkdir(parents=True)
        for row, name in zip(rows, names, strict=True):
            lines = [_line(index_of[box.label], box) for box in row.boxes or ()]
            (labels / f"{name}.txt").write_text("".join(lines))
    splits = {split: f"images/{split}" for split in SPLITS_SEEN}
    write_json(folder / "data.yaml", splits | {"names": neutral_names(data.manifest.labels)})  # JSON is YAML
    return folder / "data.yaml"


def _line(target: int, box: Box) -> str:
    """A box as Ultralytics reads it: class, middle and sides as shares of the picture's; nothing of one that lies outside."""
    left, right = (min(max(side, 0.0), 1.0) for side in (box.left, box.right))
    top, bottom = (min(max(side, 0.0), 1.0) for side in (box.top, box.bottom))
    if not (right > left and bottom > top):
        return ""
    middle = f"{(left + right) / 2:.9g} {(top + bottom) / 2:.9g}"
    return f"{target} {middle} {right - left:.9g} {bottom - top:.9g}\n"


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
    with ThreadPoolExecutor(_AT_ONCE) as pool:
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
