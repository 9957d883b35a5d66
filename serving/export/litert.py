"""LiteRT variants' answers, from image files' bytes: prepared here, run in LiteRT's own runtime in the TensorFlow world."""

from __future__ import annotations

import time
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from serving.bundle.modelinfo import ModelInfo
from serving.bundle.preprocess import decode, from_letterbox, stack_pixels
from serving.export.reference import Answers
from serving.export.request import ExportRequest, Tools
from serving.export.subprocess_job import Ties, run_subprocess

_LITERT_RUN = Path(__file__).with_name("tf_litert_run.py")


class LitertAnswers:
    """The answers of one request's LiteRT files, as they are written one after the other."""

    def __init__(self, request: ExportRequest, tools: Tools, scratch: Path) -> None:
        self._request, self._tools, self._scratch = request, tools, scratch
        self._prepare_ms = 0.0
        self._refused = dict[str, str]()

    def run(self, ties: Ties) -> None:
        """Run the models whose files come through `ties.feed`, and leave their answers beside them.

        A model that the runtime refuses does not end the others: `why_not` has its reason.
        """
        ties.on_line = self._on_line
        info, images = self._request.reference.info, self._request.images
        began = time.perf_counter()
        pixels = self._scratch / "litert_pixels.npy"
        np.save(pixels, stack_pixels(info.preprocess, images))
        self._prepare_ms = (time.perf_counter() - began) * 1e3 / max(len(images), 1)
        job = {"pixels": str(pixels.absolute()), "head": _head(info) if info.task == "detect" else None}
        command = [self._tools.tf_python, "-I", _LITERT_RUN]
        run_subprocess(command, job, "LiteRT", bounds=self._tools.bounds, ties=ties)

    def _on_line(self, line: str) -> None:
        _, name, why = line.split(" ", 2)
        self._refused[name] = f"LiteRT's runtime cannot run it: {why}"

    def why_not(self, file: Path) -> str | None:
        """Why the runtime refused a model, if it did."""
        return self._refused.get(file.name)

    def read(self, file: Path) -> tuple[Answers, float] | None:
        """The answers that were written beside a model, if any, and milliseconds per image; they are removed there."""
        left = file.with_name(f"{file.name}.answers.npz")
        if not left.exists():
            return None
        try:
            with np.load(left, allow_pickle=False) as arrays:
                answers, ms = np.asarray(arrays["answers"], np.float32), float(arrays["ms"])
        except (BadZipFile, OSError, ValueError, KeyError, EOFError):  # it was killed while it wrote
            return None
        finally:
            left.unlink()
        return self._placed(answers), ms + self._prepare_ms

    def _placed(self, answers: Answers) -> Answers:
        """A detector's boxes in the pixels of the images."""
        info = self._request.reference.info
        if info.task == "classify":
            return answers
        for image, rows in zip(self._request.images, answers, strict=True):
            made = int((rows[:, 4] > 0).sum())
            size = decode(image.read_bytes(), str(image)).size
            rows[:made, :4] = from_letterbox(rows[:made, :4], info.preprocess.size, *size)
        return answers


def _head(info: ModelInfo) -> dict[str, object]:
    """What `raw_boxes.Head` is made of."""
    return {"size": info.preprocess.size, "strides": list(info.strides), "classes": len(info.labels)} | info.suppression.plain()
