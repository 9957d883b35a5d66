"""ROC of the leak signals: pairs of held-out and training pictures that share a scene or a picture, and such as do not.

    python bench/leak_roc.py ../shared/data

The folder holds cup.mp4, box.mp4 and sign-digits.zip. Prints the tables of docs/data-leaks.md.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pipelines.data.leaks.measure import Limits
from pipelines.data.leaks.pixels import Described, alike_across, compare_across
from pipelines.data.leaks.thumbnails import SIDE

Image = NDArray[np.uint8]
_MOVED = 28  # grey levels by which what moves differs from the median of its take


@dataclass(frozen=True)
class Case:
    """Training pictures and held-out ones. `leaked`: whether each held-out one's scene, or picture, is in train."""

    name: str
    train: Sequence[Image]
    held_out: Sequence[Image]
    leaked: bool


def flat(takes: Iterable[Sequence[Image]]) -> list[Image]:
    """The pictures of several takes."""
    return [image for take in takes for image in take]


def jpeg(image: Image, quality: int) -> Image:
    """Encoded and decoded."""
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], 1), np.uint8)


def half(image: Image) -> Image:
    """At half its size."""
    return cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.uint8)


def changed_light(random: np.random.Generator) -> Callable[[Image], Image]:
    """Exposure, white balance and offset."""

    def change(image: Image) -> Image:
        gains = random.uniform(0.7, 1.35) * random.uniform(0.95, 1.05, 3)
        return np.clip(image * gains + random.uniform(-15, 15), 0, 255).astype(np.uint8)

    return change


def moved(random: np.random.Generator, amount: float) -> Callable[[Image], Image]:
    """A camera that shakes: shift, turn and zoom of about such a share of the picture."""

    def change(image: Image) -> Image:
        high, wide = image.shape[:2]
        turn = cv2.getRotationMatrix2D(
            (wide / 2, high / 2), random.normal(0, 60 * amount), 1 + amount + abs(random.normal(0, amount))
        )
        turn[:, 2] += random.normal(0, 0.6 * amount * wide, 2)
        return cv2.warpAffine(image, turn, (wide, high), borderMode=cv2.BORDER_REFLECT).astype(np.uint8)

    return change


def film(clip: Path, step: int) -> list[Image]:
    """Every so manyth frame of a clip."""
    capture, frames = cv2.VideoCapture(str(clip)), list[Image]()
    while capture.grab():
        frames.append(np.asarray(capture.retrieve()[1], np.uint8))
    return frames[::step]


def room(random: np.random.Generator, *, plain: bool) -> NDArray[np.float32]:
    """A wall with light from one side; furnished unless it is plain."""
    high, wide = 480, 640
    image = np.full((high, wide, 3), random.uniform(70, 235) * random.uniform(0.88, 1.08, 3), np.float32)
    for _ in range(0 if plain else random.integers(4, 14)):
        left, top = int(random.integers(0, wide)), int(random.integers(0, high))
        right, bottom = left + int(random.integers(20, wide // 3)), top + int(random.integers(20, high // 2))
        cv2.rectangle(image, (left, top), (right, bottom), random.uniform(10, 245, 3).tolist(), -1)
    down, across = np.mgrid[0:high, 0:wide].astype(np.float32)
    angle = random.uniform(0, 6.28)
    slope = (across / wide - 0.5) * np.cos(angle) + (down / high - 0.5) * np.sin(angle)
    return cv2.GaussianBlur(image, (0, 0), 2) * (1 - random.uniform(0.05, 0.35) * (slope + 0.7))[..., None].astype(np.float32)


def cut_out(frames: Sequence[Image]) -> list[tuple[Image, NDArray[np.float32]]]:
    """The hand with its object, and how much of each pixel it covers: what differs from the take's median."""
    middle = np.median(np.stack(frames), axis=0)
    masks = [(np.abs(frame - middle).max(axis=2) > _MOVED).astype(np.uint8) for frame in frames]
    closed = [cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)).astype(np.float32) for mask in masks]
    return [(frame, cv2.GaussianBlur(mask, (0, 0), 2)[..., None]) for frame, mask in zip(frames, closed, strict=True)]


def scenes(data: Path, *, plain: bool) -> list[list[Image]]:
    """Forty rooms with six pictures each of the same hand and cup, somewhere else in each."""
    random, cuts, takes = np.random.default_rng(5), cut_out(film(data / "cup.mp4", 1)), list[list[Image]]()
    for number in range(40):
        background, shots = room(random, plain=plain), list[Image]()
        for offset in range(6):
            frame, cover = _elsewhere(*cuts[(number * 5 + offset * 31) % len(cuts)], random)
            mixed = background * (1 - cover) + frame * cover + random.normal(0, 4, background.shape)
            shots.append(jpeg(np.clip(mixed, 0, 255).astype(np.uint8), 90))
        takes.append(shots)
    return takes


def _elsewhere(frame: Image, cover: NDArray[np.float32], random: np.random.Generator) -> tuple[Image, NDArray[np.float32]]:
    """The hand with its object at another position."""
    move = np.array([[1, 0, random.integers(-80, 80)], [0, 1, random.integers(-60, 60)]], np.float32)
    size = (frame.shape[1], frame.shape[0])
    return cv2.warpAffine(frame, move, size).astype(np.uint8), cv2.warpAffine(cover, move, size)[..., None].astype(np.float32)


def signers(data: Path) -> list[list[Image]]:
    """The photographs of each signer."""
    by_signer = dict[str, list[Image]]()
    with zipfile.ZipFile(data / "sign-digits.zip") as archive:
        for name in sorted(name for name in archive.namelist() if name.endswith(".jpg")):
            image = cv2.imdecode(np.frombuffer(archive.read(name), np.uint8), 1)
            side = min(1.0, 160 / max(image.shape[:2]))
            small = cv2.resize(image, None, fx=side, fy=side, interpolation=cv2.INTER_AREA)
            by_signer.setdefault(PurePosixPath(name).name[:4], []).append(small.astype(np.uint8))
    return list(by_signer.values())


def cases(data: Path) -> list[Case]:
    """All of them."""
    random, built = np.random.default_rng(3), list[Case]()
    films = [film(data / f"{name}.mp4", 2) for name in ("cup", "box")]
    ways: dict[str, Callable[[Image], Image]] = {
        "as they are": lambda image: image,
        "JPEG quality 30": lambda image: jpeg(image, 30),
        "half the size": half,
        "other light": changed_light(random),
        "camera shakes by 1 %": moved(random, 0.01),
        "camera shakes by 3 %": moved(random, 0.03),
        "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    }
    heads = [frame for frames in films for frame in frames[: int(0.8 * len(frames))]]
    tails = [frame for frames in films for frame in frames[int(0.8 * len(frames)) :]]
    built += [
        Case(f"scene: tails of the takes, {name}", heads, [way(frame) for frame in tails], True) for name, way in ways.items()
    ]
    for plain in (False, True):
        takes, name = scenes(data, plain=plain), "plain walls" if plain else "furnished rooms"
        built.append(Case(f"scene: {name}, the same", flat(take[:4] for take in takes), flat(take[4:] for take in takes), True))
        built.append(Case(f"clean: {name}, others", flat(takes[:28]), flat(takes[28:]), False))
    people = signers(data)
    built.append(Case("clean: photographs by signer", flat(people[:160]), flat(people[160:]), False))
    built.append(Case("clean: box against cup", films[0], films[1], False))
    some = flat(people[:40])[::3] + heads[::6]
    copies = {**ways, "shifted by up to 5 %, cropped": moved(random, 0.015)}
    built += [
        Case(f"copy: {name}", some, [way(image) for image in some], True)
        for name, way in copies.items()
        if "camera" not in name
    ]
    return built


@dataclass(frozen=True)
class Measured:
    """Each signal of each held-out picture, small where it is leaked; and the share that the verdict names."""

    case: Case
    signals: dict[str, NDArray[np.float64]]
    named: float


def measured(case: Case) -> Measured:
    """Compare the held-out pictures with those of training."""
    small = [cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in (*case.train, *case.held_out)]
    described = Described.of(np.stack(small).astype(np.uint8))
    earlier, held_out = np.arange(len(case.train)), np.arange(len(case.train), len(small))
    parts = list(compare_across(described, earlier, held_out))
    spread, contrast = described.spread[held_out], described.contrast[held_out]
    background = np.concatenate([part.background for part in parts]).astype(float)
    light = np.concatenate([np.minimum(part.light_background, part.turned_background) for part in parts]).astype(float)
    whole = np.concatenate([np.minimum(part.light_whole, part.turned_whole) for part in parts]).astype(float)
    named = len(list(alike_across(described, earlier, held_out, lambda *_: None))) / len(held_out)
    signals = {"background": background, "light": light / (spread + 1e-6), "copy": whole / (contrast + 1e-6)}
    return Measured(case, signals, named)


def print_signals(results: Sequence[Measured]) -> None:
    """The error rates of each signal by itself, over all sets that it is made for."""
    limits = Limits()
    at = {"background": ("scene", limits.scene), "light": ("scene", limits.light_share), "copy": ("copy", limits.copy_share)}
    print("\n| signal | limit | AUC | missed at the limit | false alarms at the limit |\n|---|---|---|---|---|")
    for signal, (kind, limit) in at.items():
        leaked = [result for result in results if result.case.leaked and result.case.name.startswith(kind)]
        if signal == "background":  # which is neither for other light nor for mirror images
            leaked = [result for result in leaked if not result.case.name.endswith(("light", "mirrored"))]
        no = np.concatenate([result.signals[signal] for result in results if not result.case.leaked])
        wrong = f"{np.mean(no <= limit):.2%}"
        if not leaked:
            print(f"| {signal} | {limit:g} | | | {wrong} |")
            continue
        yes = np.concatenate([result.signals[signal] for result in leaked])
        area = roc_auc_score(np.r_[np.ones(len(yes)), np.zeros(len(no))], -np.r_[yes, no])
        print(f"| {signal} | {limit:g} | {area:.3f} | {np.mean(yes > limit):.1%} | {wrong} |")


def main() -> None:
    """Print the tables."""
    results = [measured(case) for case in cases(Path(sys.argv[1]))]
    print("| pictures | held-out images | named |\n|---|---|---|")
    for result in results:
        print(f"| {result.case.name} | {len(result.case.held_out)} | {result.named:.1%} |")
    print_signals(results)


if __name__ == "__main__":
    main()
