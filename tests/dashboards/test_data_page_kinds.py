"""The Data page of every kind of data set: of clips, of images, of boxes, imported, leaked, and checked by an older release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from worlds import make_data, page

from dashboards.datasets import local_datasets
from registry.digests import canonical, sha256_bytes
from registry.files import read_json, write_json


def changed(home: Path, fields: dict[str, Any]) -> str:
    """The home's data set with other facts in its manifest; its digest."""
    make_data(home)
    path = home / "datasets" / "hand" / "manifest.json"
    manifest = {**read_json(path), **fields}
    if fields.get("task") == "detect":
        box = {"label": "a", "left": 0.1, "top": 0.1, "right": 0.5, "bottom": 0.5}
        for number, frame in enumerate(manifest["frames"]):
            frame |= {"label": "", "boxes": [box] if number % 2 else []}
    write_json(path, manifest)
    return sha256_bytes(canonical(manifest))


def report(home: Path, digest: str) -> Path:
    folder = home / "reports" / "hand"
    finding = {"outcome": "error", "check": "leaks", "level": "strict", "text": "9% of test are leaked"}
    write_json(folder / "report.json", {"dataset": digest, "findings": [finding], "off": [], "lowered": [], "spread": {}})
    return folder


@pytest.mark.parametrize(
    ("fields", "grouping", "words"),
    [
        ({}, "Clips", "all frames of one clip are in the same split"),
        ({"source": "images"}, "Groups", "all frames of one group are in the same split"),
        ({"source": "images", "groups": "unknown"}, "Images", "each image was put into a split by itself"),
        ({"source": "images", "groups": "unknown", "split_from": "source"}, "Images", "the one that its source had"),
        ({"source": "images", "groups": "unknown", "task": "detect"}, "Images", "Groups are unknown"),
    ],
)
def test_the_page_says_of_each_kind_who_split_it(home: Path, fields: dict[str, Any], grouping: str, words: str) -> None:
    report(home, changed(home, fields))
    shown = page("data")
    assert not shown.exception
    assert grouping in [metric.label for metric in shown.metric]
    assert words in " ".join(caption.value for caption in shown.caption)
    assert local_datasets(home / "datasets")[0].task == fields.get("task", "classify")


def test_leaked_pairs_and_contact_sheets_are_shown_where_the_report_has_them(home: Path) -> None:
    folder = report(home, changed(home, {}))
    without = len(page("data").get("image"))
    content = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    for name in ("leaks/near_duplicate.png", "sheets/train.png", "sheets/test.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "leaks" / "scene.png").symlink_to(folder / "report.json")
    shown = page("data")
    assert not shown.exception
    assert len(shown.get("image")) == without + 3
    assert "Leaks, side by side" in [heading.value for heading in shown.subheader]
