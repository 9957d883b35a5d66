"""One small data set, written in every format that a tool exports: 12 pictures, two objects or classes, train, val and test."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 48, 32
LABELS = ("cup", "box")
BOXES = {0: (4, 8, 28, 24), 1: (12, 2, 40, 30)}
"""left, top, right, bottom in pixels, of a picture's only object, by its class."""
SPLITS = ("train",) * 6 + ("val",) * 3 + ("test",) * 3


def draw(path: Path, seed: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(40, 220, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(path, "PNG" if path.suffix.lower() == ".png" else "JPEG")
    return path


def each() -> list[tuple[int, str, int]]:
    """Number, split and class of each picture."""
    return [(number, split, number % 2) for number, split in enumerate(SPLITS)]


def class_folders(root: Path) -> None:
    for number, _, label in each():
        draw(root / LABELS[label] / f"{number}.jpg", number)


def split_folders(root: Path) -> None:
    for number, split, label in each():
        draw(root / split / LABELS[label] / f"{number}.jpg", number)


def classes_then_splits(root: Path) -> None:
    for number, split, label in each():
        draw(root / LABELS[label] / split / f"{number}.jpg", number)


def yolo_line(label: int) -> str:
    left, top, right, bottom = BOXES[label]
    x, y = (left + right) / 2 / WIDTH, (top + bottom) / 2 / HEIGHT
    return f"{label} {x:.6f} {y:.6f} {(right - left) / WIDTH:.6f} {(bottom - top) / HEIGHT:.6f}\n"


def yolo(root: Path, *, images_first: bool = True, head: str = "") -> None:
    for number, split, label in each():
        folder = ("images", split) if images_first else (split, "images")
        texts = ("labels", split) if images_first else (split, "labels")
        draw(root.joinpath(*folder) / f"{number}.jpg", number)
        root.joinpath(*texts).mkdir(parents=True, exist_ok=True)
        (root.joinpath(*texts) / f"{number}.txt").write_text(yolo_line(label))
    paths = {split: f"images/{split}" if images_first else f"../{split}/images" for split in ("train", "val", "test")}
    names = "names: [cup, box]\n" if images_first else "names:\n  0: cup\n  1: box\n"
    (root / "data.yaml").write_text(head + "".join(f"{split}: {path}\n" for split, path in paths.items()) + names)


def yolo_roboflow(root: Path) -> None:
    yolo(root, images_first=False)


def yolo_lists(root: Path) -> None:
    yolo(root, head="path: /somewhere/else/data\n")
    lines = (root / "data.yaml").read_text()
    for split in ("train", "val", "test"):
        files = sorted((root / "images" / split).iterdir())
        (root / f"{split}.txt").write_text("".join(f"./images/{split}/{file.name}\n" for file in files))
        lines = lines.replace(f"images/{split}", f"{split}.txt")
    (root / "data.yaml").write_text(lines)


def coco_document(numbers: list[tuple[int, str, int]], prefix: str = "") -> dict[str, object]:
    images = [
        {"id": number + 100, "file_name": f"{prefix}{number}.jpg", "width": WIDTH, "height": HEIGHT} for number, *_ in numbers
    ]
    annotations = []
    for number, _, label in numbers:
        left, top, right, bottom = BOXES[label]
        box = [left, top, right - left, bottom - top]
        annotations.append({"id": number, "image_id": number + 100, "category_id": 7 if label == 0 else 90, "bbox": box})
    categories = [{"id": 90, "name": "box"}, {"id": 7, "name": "cup"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def coco(root: Path) -> None:
    for split in ("train", "val", "test"):
        numbers = [item for item in each() if item[1] == split]
        for number, *_ in numbers:
            draw(root / f"{split}2017" / f"{number}.jpg", number)
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(coco_document(numbers)))


def coco_roboflow(root: Path) -> None:
    for split in ("train", "valid", "test"):
        numbers = [item for item in each() if item[1] == split.replace("valid", "val")]
        for number, *_ in numbers:
            draw(root / split / f"{number}.jpg", number)
        document = coco_document(numbers)
        document["categories"] = [
            {"id": 0, "name": "things", "supercategory": "none"},
            {"id": 7, "name": "cup", "supercategory": "things"},
            {"id": 90, "name": "box", "supercategory": "things"},
        ]
        (root / split / "_annotations.coco.json").write_text(json.dumps(document))


def voc_xml(number: int, label: int) -> str:
    left, top, right, bottom = BOXES[label]
    box = f"<xmin>{left}</xmin><ymin>{top}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
    size = f"<size><width>{WIDTH}</width><height>{HEIGHT}</height><depth>3</depth></size>"
    item = f"<object><name>{LABELS[label]}</name><difficult>0</difficult><bndbox>{box}</bndbox></object>"
    return f"<annotation><folder>x</folder><filename>{number}.jpg</filename>{size}{item}</annotation>"


def voc(root: Path) -> None:
    lists: dict[str, list[str]] = {}
    for number, split, label in each():
        draw(root / "JPEGImages" / f"{number}.jpg", number)
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"{number}.xml").write_text(voc_xml(number, label))
        lists.setdefault(split, []).append(str(number))
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for split, names in lists.items():
        (root / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(names) + "\n")
    (root / "ImageSets" / "Main" / "trainval.txt").write_text("\n".join(lists["train"] + lists["val"]))


def voc_roboflow(root: Path) -> None:
    for number, split, label in each():
        folder = root / split.replace("val", "valid")
        draw(folder / f"{number}.jpg", number)
        (folder / f"{number}.xml").write_text(voc_xml(number, label))


def label_studio_boxes(root: Path) -> None:
    tasks = []
    for number, split, label in each():
        draw(root / split / f"{number}.jpg", number)
        left, top, right, bottom = BOXES[label]
        percent = {"x": 100 * left / WIDTH, "y": 100 * top / HEIGHT, "width": 100 * (right - left) / WIDTH}
        value = {**percent, "height": 100 * (bottom - top) / HEIGHT, "rotation": 0, "rectanglelabels": [LABELS[label]]}
        result = {"type": "rectanglelabels", "value": value, "original_width": WIDTH, "original_height": HEIGHT}
        data = {"image": f"/data/upload/1/{split}/{number:08x}-{number}.jpg"}
        tasks.append({"id": number, "data": data, "annotations": [{"id": 1, "was_cancelled": False, "result": [result]}]})
    (root / "export.json").write_text(json.dumps(tasks))


def label_studio_choices(root: Path) -> None:
    tasks = []
    for number, split, label in each():
        draw(root / split / f"{number}.jpg", number)
        tasks.append(
            {"id": number, "image": f"/data/local-files/?d=x/{split}/{number}.jpg", "choice": LABELS[label], "annotator": 1}
        )
    (root / "export-min.json").write_text(json.dumps(tasks))


def roboflow_classes(root: Path) -> None:
    rows: dict[str, list[list[object]]] = {}
    for number, split, label in each():
        draw(root / split / f"{number}.jpg", number)
        rows.setdefault(split, []).append([f"{number}.jpg", int(label == 0), int(label == 1)])
    for split, lines in rows.items():
        with (root / split / "_classes.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["filename", " cup", " box"], *lines])


def roboflow_boxes(root: Path) -> None:
    rows: dict[str, list[list[object]]] = {}
    for number, split, label in each():
        draw(root / split / f"{number}.jpg", number)
        rows.setdefault(split, []).append([f"{number}.jpg", WIDTH, HEIGHT, LABELS[label], *BOXES[label]])
    for split, lines in rows.items():
        with (root / split / "_annotations.csv").open("w", newline="") as file:
            csv.writer(file).writerows([["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"], *lines])


FORMATS: dict[str, tuple[Callable[[Path], None], str, str, bool]] = {
    "class folders": (class_folders, "class folders", "classify", False),
    "split folders": (split_folders, "split folders", "classify", True),
    "splits in class folders": (classes_then_splits, "split folders", "classify", True),
    "yolo": (yolo, "yolo", "detect", True),
    "yolo of roboflow": (yolo_roboflow, "yolo", "detect", True),
    "yolo with lists": (yolo_lists, "yolo", "detect", True),
    "coco": (coco, "coco", "detect", True),
    "coco of roboflow": (coco_roboflow, "coco", "detect", True),
    "voc": (voc, "voc", "detect", True),
    "voc of roboflow": (voc_roboflow, "voc", "detect", True),
    "label studio boxes": (label_studio_boxes, "label-studio", "detect", True),
    "label studio choices": (label_studio_choices, "label-studio", "classify", True),
    "roboflow classes": (roboflow_classes, "roboflow classes.csv", "classify", True),
    "roboflow boxes": (roboflow_boxes, "roboflow annotations.csv", "detect", True),
}
"""Name → how it is written, the format that a manifest names, the task, and whether it has splits."""
ORDER = {"yolo": ["cup", "box"], "coco": ["cup", "box"]}
"""Formats that number their classes; of the others they are sorted."""
