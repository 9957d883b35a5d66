"""COCO's JSON, as labelling tools and Roboflow write it: one file for all, or one for each split.

`supervision` agrees with us on sound files (a test compares). It is not used: it wants to be told folder and split, refuses
files in sub-folders that share a name, reads a crowd region as an object, and a broken annotation ends it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.data.importing.layout import Entry, Layout, RawBox, UnreadableError, around, number, split_in
from pipelines.data.importing.listing import LeftOut, Listing
from pipelines.data.sources import printable
from registry.errors import InputError

_SIDES = 4


def is_coco(document: object) -> bool:
    """Whether a JSON document lists images, annotations and categories."""
    if not isinstance(document, dict):
        return False
    parts = [document.get(name) for name in ("images", "annotations", "categories")]
    return all(isinstance(part, list) for part in parts) and any(
        isinstance(item, dict) and "file_name" in item for item in parts[0] or ()
    )


def read_coco(listing: Listing, documents: Mapping[Path, Any], subject: object) -> Layout:
    """Pictures with the boxes of their JSON files. Raises InputError where there are no categories."""
    chosen = _instances(documents)
    labels, merged = _labels(chosen.values())
    if not labels:
        raise InputError(f"{subject}: {printable(next(iter(chosen)))}", "names no categories", "export the data set again")
    layout = Layout("coco", "detect", labels, used=set(documents), notes=merged)
    counts, seen = Counter[str](), dict[Path, Path]()
    for path, document in chosen.items():
        _read_file(listing, path, document, layout, (counts, seen))
    for name, sentence in _SENTENCES.items():
        if counts[name]:
            layout.notes.append(f"{counts[name]:,} {sentence}")
    if others := sorted(set(documents) - set(chosen)):
        layout.notes.append(f"not read, since others hold the boxes: {', '.join(map(printable, others))}")
    return layout


_SENTENCES = {
    "crowd": "crowd regions left out: they are no single objects",
    "outline": "outlines without a box read as the box around them",
    "orphan": "annotations of images that no file lists left out",
    "twice": "images in two annotation files: the first counts",
}


def _read_file(
    listing: Listing, path: Path, document: Any, layout: Layout, state: tuple[Counter[str], dict[Path, Path]]
) -> None:
    """One JSON file's pictures, into the layout."""
    counts, seen = state
    names = {category.get("id"): str(category.get("name")) for category in document["categories"] if isinstance(category, dict)}
    by_image = defaultdict[Any, list[dict[str, Any]]](list)
    for annotation in document["annotations"]:
        if isinstance(annotation, dict) and isinstance(annotation.get("image_id"), int | str):
            by_image[annotation["image_id"]].append(annotation)
        else:
            counts["orphan"] += 1
    split = split_in(path)
    for image in document["images"]:
        name = image.get("file_name") if isinstance(image, dict) else None
        annotations = (
            by_image.pop(image.get("id"), []) if isinstance(name, str) and isinstance(image.get("id"), int | str) else []
        )
        picture = listing.find(name, path.parent) if isinstance(name, str) else None
        if picture is None:
            layout.left_out.append(
                LeftOut(f"{printable(path)}: {str(name)[:200]}", "is named there, but no such picture is in the folder")
            )
        elif picture in seen:
            counts["twice"] += 1
        else:
            seen[picture] = path
            try:
                boxes = tuple(box for annotation in annotations for box in _boxes(annotation, names, counts))
                layout.entries.append(
                    Entry(picture, split=split or split_in(picture.parent), boxes=boxes, size=_size(image), declared=True)
                )
            except UnreadableError as error:
                layout.left_out.append(LeftOut(printable(picture), f"{printable(path)}: {error}"))
    counts["orphan"] += sum(map(len, by_image.values()))


def _boxes(annotation: Mapping[str, Any], names: Mapping[Any, str], counts: Counter[str]) -> Sequence[RawBox]:
    """An annotation's box, or none for a crowd region."""
    category = annotation.get("category_id")
    label = names.get(category) if isinstance(category, int | str) else None
    if label is None:
        raise UnreadableError(f"category {str(category)[:40]!r} is not listed")
    if str(annotation.get("iscrowd")) in {"1", "True"}:
        counts["crowd"] += 1
        return []
    box, outlines = annotation.get("bbox"), annotation.get("segmentation")
    if isinstance(box, list) and len(box) == _SIDES:
        left, top, width, height = numbers = [number(value) for value in box]
        return [RawBox(label, left, top, left + width, top + height, tuple(numbers))]
    if isinstance(outlines, list) and outlines and all(isinstance(outline, list) for outline in outlines):
        counts["outline"] += 1
        points = [number(value) for outline in outlines for value in outline]
        return [around(label, points[::2], points[1::2], points)]
    raise UnreadableError(f"annotation {str(annotation.get('id'))[:40]} has no box")


def _size(image: Mapping[str, Any]) -> tuple[float, float] | None:
    """The picture's size as it is declared, if it is."""
    try:
        width, height = number(image.get("width")), number(image.get("height"))
    except UnreadableError:
        return None
    return (width, height) if width > 0 and height > 0 else None


def _instances(documents: Mapping[Path, Any]) -> dict[Path, Any]:
    """Of files side by side with captions, key points and boxes, those with boxes."""
    instances = {path: document for path, document in documents.items() if path.name.startswith("instances")}
    return instances or dict(documents)


def _labels(documents: Any) -> tuple[list[str], list[str]]:
    """Classes in the order of their ids, and what was done to them.

    Roboflow puts a group of all classes first, which no annotation uses: that is no class.
    """
    pairs, used, groups = dict[tuple[Any, str], None](), set[Any](), set[str]()
    for document in documents:
        for category in filter(lambda item: isinstance(item, dict), document["categories"]):
            if isinstance(category.get("id"), int | str) and isinstance(category.get("name"), str | int):
                pairs[category["id"], str(category["name"])] = None
                groups |= {str(category.get("supercategory"))} - {str(category["name"])}
        annotations = (item for item in document["annotations"] if isinstance(item, dict))
        used |= {item["category_id"] for item in annotations if isinstance(item.get("category_id"), int | str)}
    dropped = {(key, name) for key, name in pairs if key not in used and name in groups}
    ordered = [
        name for key, name in sorted(pairs, key=lambda pair: (isinstance(pair[0], str), *pair)) if (key, name) not in dropped
    ]
    notes = [f"category '{name}' groups others and has no annotation: left out" for _, name in sorted(dropped, key=str)]
    notes += [
        f"category '{name}' is listed {count} times: read as one class" for name, count in Counter(ordered).items() if count > 1
    ]
    return list(dict.fromkeys(ordered)), notes
