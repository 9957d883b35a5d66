"""The trained model's own answers: the program that was registered, run by the framework that trained it.

Torch models (and YOLO's, which are torch modules) are registered as a `torch.export` program, which is data and not a
pickle. Keras models run in the TensorFlow world, networks that came as ONNX in ONNX Runtime. A detector's predictions are
suppressed by torchvision's NMS, as Ultralytics does it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from registry.errors import missing_extra
from serving.bundle.modelinfo import ModelInfo
from serving.bundle.preprocess import decode, from_letterbox, stack_pixels
from serving.export.subprocess_job import run_subprocess

if TYPE_CHECKING:
    from torch import Tensor

_BATCH = 64
_TF_CONVERT = Path(__file__).with_name("tf_convert.py")
Answers = NDArray[np.float32]
"""Probabilities `[N, classes]`, or detections `[N, most, 6]`: x1, y1, x2, y2 in the image's pixels, score, class."""


PROGRAMS = {"torch": Path("data/model.pt2"), "keras": Path("data/model.keras"), "onnx": Path("model.onnx")}
"""Where MLflow puts the file that each framework runs."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A registered model's folder, and the interpreter of the TensorFlow world for those that need it."""

    folder: Path
    info: ModelInfo
    tf_python: Path

    @property
    def program(self) -> Path:
        """The file that the framework runs."""
        return self.folder.absolute() / PROGRAMS[self.info.framework]

    def probabilities(self, images: Sequence[Path]) -> Answers:
        """Image files → the trained model's answers, in order, through the one preprocessing."""
        if not images:
            return np.zeros((0, len(self.info.labels)), np.float32)
        with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
            path = Path(scratch) / "answers.npz"
            if self.info.framework != "keras":
                own_answers(self.program, self.info, images, path)
            else:
                run_subprocess([self.tf_python, "-I", _TF_CONVERT], keras_job(self, images, path, Path(scratch)), "Keras")
            return read_answers(path)


def class_scores(answers: Answers, classes: int) -> Answers:
    """Probabilities as they are; of detections, each class's best score: `[N, classes]` either way."""
    if answers.ndim == 2:  # noqa: PLR2004 boxes have one more dimension than probabilities
        return answers
    scores = np.zeros((len(answers), classes), np.float32)
    for index, rows in enumerate(answers):
        for row in rows[rows[:, 4] > 0]:
            scores[index, int(row[5])] = max(scores[index, int(row[5])], row[4])
    return scores


def read_answers(path: Path) -> Answers:
    """The answers that `own_answers` or the TensorFlow job wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return np.asarray(arrays["probabilities"], np.float32)


def keras_job(reference: Reference, images: Sequence[Path], answers: Path, scratch: Path) -> dict[str, object]:
    """The TensorFlow job for a Keras model's answers."""
    pixels = scratch / "pixels.npy"
    np.save(pixels, stack_pixels(reference.info.preprocess, images))
    return {"keras": str(reference.program), "variants": [], "pixels": str(pixels), "answers": str(answers)}


def own_answers(program: Path, info: ModelInfo, images: Sequence[Path], target: Path) -> None:
    """Write the answers of a program that runs in this world, torch's or ONNX Runtime's, to an .npz file."""
    if info.framework == "torch":
        torch_answers(program, info, images, target)
        return
    from serving.inference.runner import Runner

    runner = Runner(program, info.preprocess)
    parts = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
    np.savez(target, probabilities=np.concatenate([runner.answers([file.read_bytes() for file in part]) for part in parts]))


def torch_answers(program: Path, info: ModelInfo, images: Sequence[Path], target: Path) -> None:
    """Write a torch.export program's answers to an .npz file."""
    try:
        import torch
    except ModuleNotFoundError as error:
        raise missing_extra("torch", f"model trained by {info.trainer}") from error

    from serving.export.program import load_program

    network = load_program(program).module()
    answers: list[Answers] = []
    for start in range(0, len(images), _BATCH):
        files = images[start : start + _BATCH]
        pixels = stack_pixels(info.preprocess, files)
        with torch.no_grad():
            outputs = network(torch.from_numpy(info.preprocess.tensor(pixels)))
        if info.task == "classify":
            answers.append(outputs.numpy())
        else:
            sizes = [decode(file.read_bytes(), str(file)).size for file in files]
            answers.append(
                np.stack([suppress(predictions, info, size) for predictions, size in zip(outputs[0], sizes, strict=True)])
            )
    np.savez(target, probabilities=np.concatenate(answers))


def suppress(predictions: Tensor, info: ModelInfo, size: tuple[int, int]) -> Answers:
    """One image's raw predictions `[4 + classes, boxes]` → detections `[most, 6]` in the image's pixels, best first."""
    import torch
    from torchvision.ops import batched_nms

    rule = info.suppression
    centre, extent, classes = predictions[:2].T, predictions[2:4].T, predictions[4:].T
    score, kind = classes.max(1)
    sure = score > rule.score
    boxes = torch.cat([centre - extent / 2, centre + extent / 2], 1)[sure]
    score, kind = score[sure], kind[sure]
    # doubles, because it moves the classes' boxes apart, and float32 has no digits to spare for that
    kept = batched_nms(boxes.double(), score.double(), kind, rule.iou)[: rule.most]
    detections = np.zeros((rule.most, 6), np.float32)
    detections[: len(kept)] = torch.cat([boxes[kept], score[kept, None], kind[kept, None].float()], 1).numpy()
    detections[: len(kept), :4] = from_letterbox(detections[: len(kept), :4], info.preprocess.size, *size)
    return detections
