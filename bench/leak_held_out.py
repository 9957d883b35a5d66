"""The leak limits on sets that they were not chosen on: other scenes, other films, and clean sets that look alike.

    python bench/leak_held_out.py ../shared/data [PHOTOGRAPHS]

The first folder holds cup.mp4, box.mp4, tree.avi and sign-digits.zip; the second has photographs that serve as scenes, besides
those that installed packages ship. Prints the tables "held out" of docs/data-leaks.md. Nothing may be tuned
on what is printed here: a change of the method is tuned on the sets of `leak_roc.py`, and measured here once.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from leak_roc import Case, Image, cut_out, film, flat, jpeg, measured, moved, print_signals, signers
from numpy.typing import NDArray

from pipelines.data.dataset import MANIFEST, FrameRow, Manifest, open_dataset
from pipelines.data.leaks.find import find_leaks
from pipelines.job.jobfile import Split
from registry.digests import sha256_bytes
from registry.files import write_json

HIGH, WIDE = 240, 320
_SHIPPED = (("sklearn", "datasets/images"), ("ultralytics", "assets"), ("matplotlib", "mpl-data/sample_data"))
_TRAINED, _TAKES, _SHOTS = 24, 36, 6

Random = np.random.Generator
Scene = NDArray[np.float32]
Cuts = Sequence[tuple[Image, NDArray[np.float32]]]


def photographs(folder: Path | None) -> list[Image]:
    """Those that packages ship, and those of the folder."""
    homes = [Path(str(spec.origin)).parent / inner for name, inner in _SHIPPED if (spec := find_spec(name))]
    files = [file for home in (*homes, *([folder] if folder else [])) for file in sorted(home.iterdir())]
    names = {file.name: file for file in files if file.suffix in {".jpg", ".png"} and file.stat().st_size > 40_000}  # noqa: PLR2004
    return [np.asarray(image, np.uint8) for file in names.values() if (image := cv2.imread(str(file), 1)) is not None]


def clouds(random: Random, roughness: float, high: int = HIGH, wide: int = WIDE) -> Scene:
    """Noise of all sizes in 0 to 1, as leaves, gravel and skies have it."""
    total = np.zeros((high, wide), np.float32)
    for octave in range(1, 8):
        cells = random.random((2**octave, 2**octave)).astype(np.float32)
        total += cv2.resize(cells, (wide, high), interpolation=cv2.INTER_CUBIC) * roughness**octave
    return (total - total.min()) / np.ptp(total)


def outdoors(random: Random) -> Scene:
    """Foliage, ground and a piece of sky: three textures, with borders that are not straight."""
    colours, border = random.uniform(20, 220, (3, 3)).astype(np.float32), HIGH * random.uniform(0.2, 0.6, 2)
    down = np.arange(HIGH, dtype=np.float32)[:, None] + 60 * clouds(random, 0.6) - 30
    which = (down > border.min()).astype(int) + (down > border.max())
    return colours[which] * (0.4 + clouds(random, 0.9)[..., None])


def night(random: Random) -> Scene:
    """Nearly black, a few lamps."""
    scene = 14 * clouds(random, 0.7)[..., None] * random.uniform(0.6, 1.2, 3).astype(np.float32)
    for _ in range(random.integers(2, 6)):
        spot = np.zeros((HIGH, WIDE), np.float32)
        cv2.circle(spot, (int(random.integers(WIDE)), int(random.integers(HIGH))), int(random.integers(3, 10)), 1.0, -1)
        scene = scene + cv2.GaussianBlur(spot, (0, 0), float(random.uniform(5, 30)))[..., None] * random.uniform(80, 900)
    return scene.astype(np.float32)


def sky(random: Random) -> Scene:
    """Blue from top to bottom, with clouds."""
    slope = np.linspace(random.uniform(0.7, 0.9), 1, HIGH, dtype=np.float32)[:, None, None]
    cover = np.clip(2 * clouds(random, 0.55) - random.uniform(0.6, 1.4), 0, 1)[..., None]
    return slope * np.float32([225, 170, 110]) * (1 - cover) + 238 * cover


def page(random: Random) -> Scene:
    """A scanned page: lines of grey words on white."""
    scene = np.full((HIGH, WIDE, 3), 244, np.float32)
    for top in range(int(random.integers(10, 24)), HIGH - 16, 11):
        left = int(random.integers(16, 30))
        while left < WIDE - 40:
            long = int(random.integers(6, 32))
            cv2.rectangle(scene, (left, top), (left + long, top + 5), (60, 60, 60), -1)
            left += long + 6
    return cv2.GaussianBlur(scene, (0, 0), 1)


def studio(random: Random) -> Scene:
    """White paper that is lit from above, with the same fall of light each time, and another object of drawn shape."""
    down, across = np.mgrid[-1 : 1 : HIGH * 1j, -1 : 1 : WIDE * 1j].astype(np.float32)
    scene = np.repeat((243 - 9 * (down**2 + across**2))[..., None], 3, axis=2)
    points = np.cumsum(random.normal(0, 45, (7, 2)), axis=0)
    hull = cv2.convexHull((points - points.mean(0) + (WIDE / 2, HIGH / 2)).astype(np.int32))
    cv2.fillConvexPoly(scene, hull, random.uniform(20, 200, 3).tolist())
    return scene


def room_of_one_colour(random: Random) -> Scene:
    """Rooms of one house: the same paint, other furniture."""
    scene = np.full((HIGH, WIDE, 3), (196, 205, 210), np.float32) + random.normal(0, 3, 3)
    for _ in range(random.integers(4, 10)):
        left, top = int(random.integers(0, WIDE)), int(random.integers(HIGH // 4, HIGH))
        right, bottom = left + int(random.integers(20, WIDE // 3)), top + int(random.integers(20, HIGH // 2))
        cv2.rectangle(scene, (left, top), (right, bottom), random.uniform(10, 245, 3).tolist(), -1)
    slope = np.linspace(-1, 1, WIDE, dtype=np.float32)[None, :, None] * random.uniform(-0.12, 0.12)
    return cv2.GaussianBlur(scene, (0, 0), 1.5) * (1 + slope)


def cropped(photos: Sequence[Image]) -> list[Scene]:
    """Four corners of each photograph that do not overlap, side by side in the list."""
    crops = list[Scene]()
    for photo in photos:
        high, wide = photo.shape[0] // 2, photo.shape[1] // 2
        corners = [photo[top : top + high, left : left + wide] for top in (0, high) for left in (0, wide)]
        crops += [cv2.resize(corner, (WIDE, HIGH), interpolation=cv2.INTER_AREA).astype(np.float32) for corner in corners]
    return crops


def shot(scene: Scene, cuts: Cuts, random: Random, objects: int = 1) -> Image:
    """Objects pasted into a scene, noise, and a JPEG."""
    picture = scene
    for _ in range(objects):
        frame, cover = cuts[int(random.integers(len(cuts)))]
        size, scale = random.uniform(0.45, 0.75), float(HIGH) / frame.shape[0]
        turn = cv2.getRotationMatrix2D((frame.shape[1] / 2, frame.shape[0] / 2), random.uniform(-25, 25), size)
        turn[:, 2] += random.uniform(-90, 90, 2)
        turn *= scale
        pasted, mask = cv2.warpAffine(frame, turn, (WIDE, HIGH)), cv2.warpAffine(cover, turn, (WIDE, HIGH))[..., None]
        picture = picture * (1 - mask) + pasted * mask
    return jpeg(np.clip(picture + random.normal(0, 3, picture.shape), 0, 255).astype(np.uint8), 85)


def pair(name: str, scenes: Sequence[Scene], cuts: Cuts, random: Random, objects: int = 1) -> list[Case]:
    """The same scenes in train and in val, and others in val."""
    takes = [[shot(scene, cuts, random, objects) for _ in range(_SHOTS)] for scene in scenes]
    some = int(len(takes) * _TRAINED / _TAKES) // 4 * 4
    return [
        Case(f"scene: {name}, the same", flat(take[:4] for take in takes), flat(take[4:] for take in takes), True),
        Case(f"clean: {name}, others", flat(takes[:some]), flat(takes[some:]), False),
    ]


def moving(scenes: Sequence[Scene], cuts: Cuts, random: Random, *, zoom: bool) -> Case:
    """A camera that goes across the scene, or nearer; the last of eight pictures are held out."""
    train, held_out = list[Image](), list[Image]()
    for scene in scenes:
        for step in range(8):
            share = 1 - 0.05 * step if zoom else 0.6
            high, wide = int(HIGH * share), int(WIDE * share)
            left = (WIDE - wide) // 2 if zoom else int(step * 0.05 * WIDE)
            view = cv2.resize(scene[(HIGH - high) // 2 :][:high, left : left + wide], (WIDE, HIGH))
            (train if step < 6 else held_out).append(shot(view, cuts, random))  # noqa: PLR2004
    return Case(f"scene: camera {'nearer' if zoom else 'across'} by 5 % a picture", train, held_out, True)


def films(data: Path) -> list[Case]:
    """Other parts of the films, another film, and the films against each other."""
    built = list[Case]()
    takes = {name: film(data / name, 1) for name in ("cup.mp4", "box.mp4", "tree.avi")}
    tree = takes["tree.avi"]
    built.append(Case("scene: tree.avi, a hand in its tail only", tree[:54], tree[54:], True))
    for name in ("cup.mp4", "box.mp4"):
        frames = takes[name]
        third, block = int(0.3 * len(frames)), slice(int(0.4 * len(frames)), int(0.6 * len(frames)))
        built.append(Case(f"scene: {name}, first 30 % and last 30 %", frames[:third:5], frames[-third::5], True))
        around = frames[: block.start : 7] + frames[block.stop :: 7]
        built.append(Case(f"scene: {name}, a block in the middle", around, frames[block][::7], True))
    built.append(Case("clean: tree.avi against cup and box", takes["cup.mp4"][::2] + takes["box.mp4"][::2], tree, False))
    return built


def cases(data: Path, photos: Path | None) -> list[Case]:
    """All of them; seeds, styles and objects are none that leak_roc.py has."""
    random, cuts = np.random.default_rng(20_261), cut_out(film(data / "box.mp4", 3))
    built = films(data)
    natural = cropped(photographs(photos))
    built += pair("photographs as scenes", natural, cuts, random)
    still = built[-2]
    for amount in (0.01, 0.03):
        shaken = [moved(random, amount)(image) for image in still.held_out]
        built.append(Case(f"scene: photographs, camera shakes by {amount:.0%}", still.train, shaken, True))
    built += [moving(natural, cuts, random, zoom=zoom) for zoom in (False, True)]
    styles: dict[str, tuple[Callable[[Random], Scene], int]] = {
        "outdoors": (outdoors, 1),
        "outdoors with four objects": (outdoors, 4),
        "night": (night, 1),
        "rooms of one paint": (room_of_one_colour, 1),
    }
    for name, (style, objects) in styles.items():
        built += pair(name, [style(random) for _ in range(_TAKES)], cuts, random, objects)
    for name, style in {"skies": sky, "text pages": page, "objects on white paper": studio}.items():
        shots = [jpeg(np.clip(style(random), 0, 255).astype(np.uint8), 90) for _ in range(160)]
        built.append(Case(f"clean: {name}", shots[:100], shots[100:], False))
    people = signers(data)
    half = len(people) // 2
    built.append(
        Case("clean: hands, one half of the signers against the other", flat(people[:half]), flat(people[half:]), False)
    )
    return built


def counted(case: Case) -> float:
    """The share of the held-out images that the command counts, from files on disk: what a person sees."""
    random, rows = np.random.default_rng(1), list[FrameRow]()
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as scratch:
        for split, images in (("train", case.train), ("val", case.held_out)):
            for image in images:
                content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
                own, name = sha256_bytes(content), f"{split}/it/{random.bytes(8).hex()}.jpg"
                path = Path(scratch) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                facts = {"clip": own[:16], "clip_sha256": own, "label": "it", "split": split, "source": name}
                size = {"width": image.shape[1], "height": image.shape[0]}
                rows.append(FrameRow(file=name, sha256=own, **facts, **size))  # pyright: ignore[reportArgumentType]
        manifest = Manifest(labels=["it"], source="images", split=Split(), frames=rows, groups="unknown")
        write_json(Path(scratch) / MANIFEST, manifest.document())
        return find_leaks(open_dataset(Path(scratch))).share("val")


def main() -> None:
    """Print the tables."""
    photos = Path(sys.argv[2]) if len(sys.argv) > 2 else None  # noqa: PLR2004
    results = [measured(case) for case in cases(Path(sys.argv[1]), photos)]
    print("| pictures | held-out images | named | counted |\n|---|---|---|---|")
    for result in results:
        case = result.case
        print(f"| {case.name} | {len(case.held_out)} | {result.named:.1%} | {counted(case):.1%} |", flush=True)
    print_signals(results)


if __name__ == "__main__":
    main()
