"""Pascal VOC: an XML file for each picture, in `Annotations/` or beside it, and splits in `ImageSets/Main` or as folders.

`supervision` agrees with us but for one pixel: it takes the left and upper side for counted from 1, as VOC's own pictures have
it, so that a box of a tool that counts from 0 (Roboflow, CVAT, Label Studio) begins outside of the picture. The numbers are
taken as they are written here. It is not used: it knows no ImageSets, and one broken XML file ends it.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.data.dataset import SplitName
from pipelines.data.importing.layout import Entry, Layout, RawBox, UnreadableError, around, number, plural, split_in, split_name
from pipelines.data.importing.listing import LeftOut, Listing
from pipelines.data.sources import printable
from registry.errors import InputError
from registry.files import read_bytes

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_SIDES = ("xmin", "ymin", "xmax", "ymax")
_PICTURES = ("JPEGImages", "images")


def has_annotations(listing: Listing) -> bool:
    """Whether one of the first XML files annotates a picture."""
    return any(_annotation(listing, path) is not None for path in listing.ending(".xml")[:20])


def read_voc(listing: Listing, subject: object) -> Layout:
    """Pictures with the boxes of their XML files; an XML file without an object says that nothing is to be detected."""
    layout = Layout("voc", "detect", [], unnamed="no XML file annotates it")
    splits, counts, seen = _image_sets(listing, layout), Counter[str](), set[Path]()
    for path in listing.ending(".xml"):
        root = _annotation(listing, path)
        if root is None:
            layout.left_out.append(LeftOut(printable(path), "is no annotation in Pascal VOC's XML"))
            continue
        layout.used.add(path)
        name = root.findtext("filename") or ""
        picture = _of_stem(listing, path, Path(name).suffix) or listing.find(name, path.parent)
        if picture is None or picture in seen:
            counts["twice" if picture else "absent"] += 1
            continue
        seen.add(picture)
        try:
            boxes = tuple(box for item in root.findall("object") for box in _boxes(item, counts))
        except UnreadableError as error:
            layout.left_out.append(LeftOut(printable(picture), f"{printable(path)}: {error}"))
            continue
        split = splits.get(picture.stem) or split_in(path.parent) or split_in(picture.parent)
        layout.entries.append(Entry(picture, split=split, boxes=boxes, size=_size(root), declared=True))
    layout.labels = sorted({box.label for entry in layout.entries for box in entry.boxes or ()})
    if not layout.labels:
        raise InputError(subject, "its XML files have no object with a name and a box", "export the data set again")
    layout.notes += [f"{plural(count, 'XML file')} {_SENTENCES[name]}" for name, count in counts.items()]
    return layout


_SENTENCES = {
    "absent": "of pictures that are not in the folder",
    "twice": "of a picture that another one annotates: the first counts",
    "outline": "with outlines only, read as the boxes around them",
}


def _annotation(listing: Listing, path: Path) -> Element | None:
    """The root of an XML file that annotates a picture. Entities are refused: a small file can grow without end by them."""
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    try:
        root = fromstring(read_bytes(listing.root / path), forbid_dtd=True)
    except (ParseError, DefusedXmlException, InputError, OSError, ValueError, LookupError, RecursionError):
        return None
    return root if root.tag == "annotation" else None


def _boxes(item: Element, counts: Counter[str]) -> list[RawBox]:
    label = (item.findtext("name") or "").strip()
    if not label:
        raise UnreadableError("an object has no name")
    if (box := item.find("bndbox")) is not None:
        numbers = [number(box.findtext(side)) for side in _SIDES]
        return [RawBox(label, *numbers, source=tuple(numbers))]
    if (outline := item.find("polygon")) is not None:
        points = [number(part.text) for part in outline.iter() if len(part) == 0]
        counts["outline"] += 1
        return [around(label, points[::2], points[1::2], points)]
    raise UnreadableError(f"object '{label[:40]}' has no box")


def _size(root: Element) -> tuple[float, float] | None:
    try:
        width, height = number(root.findtext("size/width")), number(root.findtext("size/height"))
    except UnreadableError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def _of_stem(listing: Listing, path: Path, suffix: str) -> Path | None:
    """The picture that is called as the XML file is: beside it, or at its place in the folder that VOC puts pictures in."""
    mirrored = [
        Path(*path.parts[:index], name, *path.parts[index + 1 : -1])
        for index, part in enumerate(path.parts[:-1])
        if part.lower() == "annotations"
        for name in _PICTURES
    ]
    known = listing.picture_set
    for folder in (path.parent, *mirrored, *(path.parent.parent / name for name in _PICTURES)):
        for ending in (suffix, ".jpg", ".jpeg", ".png", ".JPG", ".webp", ".bmp"):
            if (candidate := folder / f"{path.stem}{ending}") in known:
                return candidate
    return None


def _image_sets(listing: Listing, layout: Layout) -> dict[str, SplitName]:
    """Picture's name → split, of `ImageSets/Main/train.txt` and its like; `trainval` counts where no other says more."""
    splits = dict[str, SplitName]()
    lists = [path for path in listing.ending(".txt") if "ImageSets" in path.parts]
    layout.used.update(lists)
    ranked = sorted((path for path in lists if split_name(path.stem)), key=lambda path: path.stem.lower() == "trainval")
    for path in ranked:
        for line in read_bytes(listing.root / path).decode("utf-8", "replace").splitlines():
            if words := line.split():
                splits.setdefault(
                    Path(words[0]).stem if words[0].lower().endswith((".jpg", ".png")) else words[0],
                    split_name(path.stem) or "train",
                )
    return splits
