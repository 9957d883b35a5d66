"""A worker's batch: each picture's own answer, and no more memory than a large picture takes."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.bundle.preprocess import Preprocess
from serving.inference.runner import Prepared, Runner
from serving.workers.messages import Item
from serving.workers.worker import answer

ROOT = Path(__file__).resolve().parents[3]
_HUNGRY = """
import io, json, resource, sys
from PIL import Image
from serving.workers.messages import Item
from serving.workers.worker import answer, load
runner = load({"bundle": sys.argv[1], "threads": 1, "device": "cpu"})
held = io.BytesIO()
Image.new("RGB", (3000, 3000), "red").save(held, "PNG")
def peak(count):
    assert len(answer(runner, [Item(held.getvalue())] * count).rows) == count
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
print(json.dumps([peak(1), peak(12)]))
"""


def test_a_batch_of_huge_pictures_takes_the_memory_of_one(make_bundle, tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "bundle").folder
    done = subprocess.run([sys.executable, "-c", _HUNGRY, folder], cwd=ROOT, capture_output=True, text=True, check=True)
    single, twelve = map(int, done.stdout.strip("[]\n").split(","))
    assert twelve - single < 60


class Resizing:
    """A runner whose graph takes pictures of any size; it says what it was given together, and answers with their widths."""

    def __init__(self) -> None:
        self.together = list[list[int]]()

    def open(self, data: bytes) -> Image.Image:
        return Preprocess(size=32).open(data)

    def prepare(self, picture: Image.Image) -> Prepared:
        return Prepared(np.asarray(picture), picture.size)

    def run(self, prepared: list[Prepared]) -> list[np.ndarray]:
        self.together.append([picture.size[0] for picture in prepared])
        return [np.array([picture.size[0]], np.float32) for picture in prepared]


def test_pictures_that_the_graph_resizes_run_in_parts(picture: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.workers.worker.MOST_KEPT", 3 * 10_000)
    runner, sizes = Resizing(), [(50, 50), (60, 50), (10, 500), (200, 90), (20, 20)]
    items = [Item(picture(size=size)) for size in sizes]
    items.insert(1, Item(b"no picture"))
    done = answer(runner, items)  # type: ignore[arg-type]
    assert runner.together == [[50, 60, 10], [200], [20]]
    assert [np.frombuffer(row, "<f4").tolist() for row in done.rows] == [[50], [], [60], [10], [200], [20]]
    assert "cannot be decoded" in done.errors[1]


def test_each_picture_has_its_own_answer(make_bundle, picture: Callable[..., bytes], tmp_path: Path) -> None:
    runner = Runner(make_bundle(tmp_path / "bundle").onnx, Preprocess(size=32), fitted=True)
    thin = io.BytesIO()
    Image.new("RGB", (1, 200)).save(thin, "PNG")
    pixels = Item(Image.new("RGB", (48, 40), "blue").tobytes(), (40, 48))
    done = answer(runner, [Item(picture("red")), Item(thin.getvalue()), Item(b""), Item(picture("lime", (90, 41))), pixels])
    assert [int(np.frombuffer(row, "<f4").argmax()) if row else None for row in done.rows] == [0, None, None, 1, 2]
    assert "more than 100 times longer" in done.errors[1]
    assert "cannot be decoded" in done.errors[2]
    assert done.decode_s > 0
    assert done.predict_s > 0
    assert answer(runner, [Item(b"")]).rows == [b""]


@pytest.mark.parametrize("raised", [MemoryError(), SystemError("x"), ValueError("x")])
def test_a_picture_that_cannot_be_prepared_fails_no_other(picture: Callable[..., bytes], raised: Exception) -> None:
    class Failing(Resizing):
        def prepare(self, picture: Image.Image) -> Prepared:
            if picture.width == 60:
                raise raised
            return super().prepare(picture)

    items = [Item(picture(size=size)) for size in ((50, 50), (60, 50), (40, 40))]
    done = answer(Failing(), items)  # type: ignore[arg-type]
    assert [bool(row) for row in done.rows] == [True, False, True]
    assert f"image: cannot be prepared ({type(raised).__name__})" in done.errors[1]
