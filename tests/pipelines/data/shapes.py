"""A data set of drawn shapes in takes, for tests of labels: each take has a background and a size of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import DataSet
from pipelines.job.jobfile import Data

CLASSES = ("bar", "disc", "square")
GROUP = r"^(take\d+)_"


def quiet(*_: object) -> None:
    return


def draw(kind: str, take: int, number: int) -> Image.Image:
    """One picture."""
    random = np.random.default_rng(1000 * take + 10 * number + CLASSES.index(kind))
    level = 40 + 12 * (take % 6)
    image = Image.fromarray(random.integers(level, level + 40, (64, 64, 3), np.uint8))
    left, top, side = (int(value) for value in random.integers((8, 8, 24), (20, 20, 34)))
    box = (left, top, left + side, top + (side // 4 if kind == "bar" else side))
    pen = ImageDraw.Draw(image)
    (pen.ellipse if kind == "disc" else pen.rectangle)(box, fill=tuple(int(value) for value in random.integers(150, 255, 3)))
    return image


def draw_takes(folder: Path, takes: int = 8, pictures: int = 3) -> Path:
    """folder/<class>/take<n>_<class>_<m>.png, right labels."""
    for kind in CLASSES:
        (folder / kind).mkdir(parents=True)
        for take in range(takes):
            for number in range(pictures):
                draw(kind, take + 100 * CLASSES.index(kind), number).save(
                    folder / kind / f"take{take + 100 * CLASSES.index(kind)}_{kind}_{number}.png"
                )
    return folder


def build(home: Path, images: Path, group: str | None = GROUP) -> DataSet:
    """The next version of model hand's data set; its folder is the one that commands use."""
    catalog = DatasetCatalog(home / "datasets")
    folder = catalog.folder_of("hand")
    catalog.build(Data(images=images, group=group), folder, quiet)
    from pipelines.data.dataset import open_dataset

    return open_dataset(folder)
