"""A small detector, trained in a moment on pictures of squares and discs: a real Ultralytics checkpoint for tests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

NAMES = ("square", "disc")


def draw_shapes(folder: Path, count: int, seed: int, sides: tuple[int, int] = (160, 120)) -> list[Path]:
    """Pictures with one to three shapes each, and their boxes in Ultralytics' text files."""
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    made: list[Path] = []
    for number in range(count):
        width, height = sides if number % 3 else sides[::-1]
        noise = random.integers(40, 110, (height, width, 3), np.uint8)
        image = Image.fromarray(noise)
        pen, lines = ImageDraw.Draw(image), list[str]()
        for _ in range(random.integers(1, 4)):
            kind, side = int(random.integers(2)), int(random.integers(24, 48))
            left, top = int(random.integers(0, width - side)), int(random.integers(0, height - side))
            colour = tuple(int(level) for level in random.integers(150, 256, 3))
            (pen.ellipse if kind else pen.rectangle)((left, top, left + side, top + side), fill=colour)
            middle = ((left + side / 2) / width, (top + side / 2) / height, side / width, side / height)
            lines.append(f"{kind} " + " ".join(f"{value:.5f}" for value in middle))
        path = folder / "images" / f"shapes{number:03d}.jpg"
        image.save(path, quality=95)
        (folder / "labels" / f"{path.stem}.txt").write_text("\n".join(lines))
        made.append(path)
    return made


def draw_set(folder: Path, scratch: Path, counts: tuple[int, int, int], sides: tuple[int, int] = (160, 120)) -> Path:
    """Pictures of shapes with their boxes in YOLO's layout: so many for train, val and test."""
    for seed, (split, count) in enumerate(zip(("train", "val", "test"), counts, strict=True), 1):
        made = draw_shapes(scratch / split, count, seed, sides)
        for kind, ending in (("images", ".jpg"), ("labels", ".txt")):
            (folder / kind / split).mkdir(parents=True)
            for picture in made:
                source = scratch / split / kind / f"{picture.stem}{ending}"
                shutil.copy2(source, folder / kind / split / f"{split}{picture.stem}{ending}")
    names = ", ".join(NAMES)
    (folder / "data.yaml").write_text(f"train: images/train\nval: images/val\ntest: images/test\nnames: [{names}]\n")
    return folder


def film_set(folder: Path, scratch: Path, clips: Path) -> Path:
    """Drawn shapes, and a real cup and a real box in frames of two clips, each split from its own part of a clip.

    The boxes are where the cup's black or the box's yellow is: there is nothing else of that colour in the clip.
    """
    draw_set(folder, scratch, (32, 8, 16))
    for kind, (name, colour) in enumerate((("cup", _black), ("box", _yellow)), len(NAMES)):
        frames = _frames(clips / f"{name}.mp4", 60)
        for number, frame in enumerate(frames):
            split = "train" if number < 36 else "val" if number < 44 else "test"
            height, width = frame.shape[:2]
            left, top, right, bottom = _around(colour(frame))
            middle = ((left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height)
            Image.fromarray(frame).save(folder / "images" / split / f"{name}{number:02d}.jpg", quality=92)
            line = f"{kind} " + " ".join(f"{value:.5f}" for value in middle)
            (folder / "labels" / split / f"{name}{number:02d}.txt").write_text(line)
    text = (folder / "data.yaml").read_text()
    (folder / "data.yaml").write_text(text.replace("disc]", "disc, cup, box]"))
    return folder


def _frames(clip: Path, count: int) -> list[NDArray[np.uint8]]:
    """So many frames of a clip, evenly spread, RGB at half their size."""
    import cv2

    capture, frames = cv2.VideoCapture(str(clip)), list[NDArray[np.uint8]]()
    while capture.grab():
        frames.append(cv2.cvtColor(cv2.resize(capture.retrieve()[1], (320, 240)), cv2.COLOR_BGR2RGB))
    return [frames[index] for index in np.linspace(0, len(frames) - 1, count).astype(int)]


def _black(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Dark and of no colour, without specks; the hand's gaps are closed."""
    import cv2

    dark = ((frame.max(2) < 95) & (np.ptp(frame, axis=2) < 25)).astype(np.uint8)
    without_specks = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((4, 4), np.uint8))
    return cv2.morphologyEx(without_specks, cv2.MORPH_CLOSE, np.ones((15, 15), np.uint8))


def _yellow(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bright yellow and orange, closed over what is printed on it."""
    import cv2

    hue, depth, light = (cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)[..., index] for index in range(3))
    yellow = ((hue >= 12) & (hue <= 32) & (depth > 140) & (light > 110)).astype(np.uint8)
    return cv2.morphologyEx(yellow, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))


def _around(mask: NDArray[np.uint8]) -> tuple[int, int, int, int]:
    """The box around the largest part of a mask."""
    import cv2

    _, _, parts, _ = cv2.connectedComponentsWithStats(mask)
    left, top, width, height, _ = parts[1 + int(parts[1:, 4].argmax())]
    return int(left), int(top), int(left + width), int(top + height)


def train_detector(folder: Path, epochs: int = 24) -> Path:
    """`best.pt` of a yolov8n that was trained on them; it finds most of them."""
    draw_shapes(folder / "train", 96, 1)
    draw_shapes(folder / "val", 16, 2)
    names = "\n".join(f"  {number}: {name}" for number, name in enumerate(NAMES))
    (folder / "data.yaml").write_text(f"path: {folder}\ntrain: train/images\nval: val/images\nnames:\n{names}\n")
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    from pipelines.training.trainers.checkpoint import ultralytics

    model = ultralytics(folder)("yolov8n.yaml", task="detect", verbose=False)
    model.train(
        data=str(folder / "data.yaml"),
        epochs=epochs,
        imgsz=96,
        batch=8,
        seed=0,
        optimizer="AdamW",
        lr0=0.002,
        warmup_epochs=1.0,
        mosaic=0.0,
        device="cpu",
        workers=0,
        amp=False,
        plots=False,
        pretrained=False,
        verbose=False,
        project=str(folder / "runs"),
        name="train",
        exist_ok=True,
    )
    return Path(model.trainer.best)
