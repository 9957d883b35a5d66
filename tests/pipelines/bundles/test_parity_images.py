"""Parity is measured on enough images, however few clips a data set has, and on held-out ones where they are enough."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from pipelines.bundles.parity import ENOUGH, parity_images
from pipelines.data.dataset import DataSet, FrameRow, Manifest
from pipelines.job.jobfile import Split
from validation.gates.parity import ParityGate


def photographs(folder: Path, counts: dict[str, int]) -> DataSet:
    about = {"sha256": "0" * 64, "clip": "a", "clip_sha256": "0" * 64, "width": 24, "height": 16}
    rows = list[FrameRow]()
    for split, count in counts.items():
        for index in range(count):
            file = f"{split}-{index}.png"
            Image.new("RGB", (24, 16), (index % 256, 90, 30)).save(folder / file)
            rows.append(FrameRow.model_validate({"file": file, "split": split, "label": "ab"[index % 2], **about}))
    return DataSet(folder, Manifest(labels=["a", "b"], source="images", split=Split(), frames=rows))


@pytest.mark.parametrize("counts", [(1, 0, 1), (3, 2, 5), (21, 29, 46), (35, 0, 0), (49, 1, 400), (60, 20, 20), (300, 10, 10)])
def test_there_are_as_many_images_as_the_gate_wants(counts: tuple[int, int, int], tmp_path: Path) -> None:
    data = photographs(tmp_path, dict(zip(("test", "val", "train"), counts, strict=True)))
    with parity_images(data, 200) as images:
        ours = [path for path in images if path.parent == tmp_path]
        assert len(set(images)) == len(images) >= ParityGate().images == ENOUGH
        assert len(ours) == max(min(counts[0], 200), min(sum(counts), ENOUGH))
        assert sum(path.name.startswith("test") for path in ours) == min(counts[0], 200), "held-out ones come first"
        assert all(path.is_file() for path in images)


def test_a_setting_below_is_followed(tmp_path: Path) -> None:
    with parity_images(photographs(tmp_path, {"test": 20, "train": 50}), 8) as images:
        assert len(images) == 16
