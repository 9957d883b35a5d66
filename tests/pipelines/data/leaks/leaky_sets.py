"""Data sets that leak, and such as do not, of drawn rooms in which something moves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipelines.data.dataset import MANIFEST, DataSet, FrameRow, Manifest
from pipelines.job.jobfile import Split
from registry.digests import sha256_bytes
from registry.files import write_json

Image = NDArray[np.uint8]
SIZE = (160, 120)


@dataclass(frozen=True)
class Shot:
    """A picture of a set: where it is put, under which name, and its clip or group if that is known."""

    split: str
    label: str
    name: str
    image: Image | bytes
    clip: str = ""
    captured: str = ""


def jpeg(image: Image, quality: int = 92) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def room(seed: int) -> NDArray[np.float32]:
    """A background of its own: wall, floor, furniture, and light from one side."""
    random = np.random.default_rng(seed)
    width, height = SIZE
    image = np.full((height, width, 3), random.uniform(60, 220, 3), np.float32)
    image[int(random.integers(50, 95)) :] = random.uniform(30, 220, 3)
    for _ in range(9):
        left, top = int(random.integers(0, width)), int(random.integers(0, height))
        right, bottom = left + int(random.integers(10, 60)), top + int(random.integers(10, 60))
        cv2.rectangle(image, (left, top), (right, bottom), random.uniform(0, 255, 3).tolist(), -1)
    image = cv2.GaussianBlur(image, (0, 0), 1.5)
    return image * np.linspace(1, random.uniform(0.7, 0.95), width, dtype=np.float32)[None, :, None]


def frame(background: NDArray[np.float32], seed: int) -> Image:
    """An object somewhere before a background, with a camera's noise."""
    random = np.random.default_rng(seed)
    image = background.copy()
    centre = int(random.integers(25, SIZE[0] - 25)), int(random.integers(25, SIZE[1] - 25))
    cv2.circle(image, centre, int(random.integers(12, 22)), (40.0, 40.0, 200.0), -1)
    cv2.line(image, centre, (SIZE[0] - 1, centre[1] + 20), (120.0, 150.0, 210.0), 9)
    return np.clip(image + random.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def write_set(folder: Path, shots: list[Shot], *, groups: str = "unknown", source: str = "images") -> DataSet:
    """The set as `frames` would write it, with the split that each picture was given."""
    rows = list[FrameRow]()
    for shot in shots:
        content = shot.image if isinstance(shot.image, bytes) else jpeg(shot.image)
        own = sha256_bytes(content)
        path = folder / shot.split / shot.label / shot.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        clip_digest = sha256_bytes(shot.clip.encode()) if source == "clips" else own
        facts = {"clip": shot.clip or own[:16], "clip_sha256": clip_digest, "label": shot.label, "split": shot.split}
        size = {"width": decoded.shape[1], "height": decoded.shape[0], "captured": shot.captured}
        names = {"file": path.relative_to(folder).as_posix(), "source": f"{shot.label}/{shot.name}"}
        rows.append(FrameRow(sha256=own, **facts, **size, **names))
    labels = sorted({shot.label for shot in shots})
    manifest = Manifest(labels=labels, source=source, split=Split(), frames=rows, groups=groups)
    write_json(folder / MANIFEST, manifest.document())
    return DataSet(folder, manifest)


def takes(scenes: dict[str, list[int]], frames: int = 6, *, prefix: str = "scene") -> list[Shot]:
    """Shots of rooms, by split. Every room is a clip, and classes alternate; no name says which belong together."""
    return [
        Shot(
            split,
            "ab"[scene % 2],
            f"{chr(97 + index)}{prefix}{scene}.jpg",
            frame(room(scene), 1000 * scene + index),
            f"clip{scene}",
        )
        for split, numbers in scenes.items()
        for scene in numbers
        for index in range(frames)
    ]


CLEAN = {"train": list(range(12)), "val": [12, 13, 14, 15], "test": [16, 17, 18, 19]}
