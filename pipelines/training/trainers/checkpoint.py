"""An Ultralytics checkpoint as a program that can be registered: its network, checked against Ultralytics' own `predict`.

What is registered is a torch.export program, not Ultralytics' pickle. A classifier gives probabilities, a detector its
decoded predictions and what they are decoded from (`serving.bundle.modelinfo`). Preprocessing that differs between training and
serving is the oldest way to lose accuracy without noticing, so the program's answers through our preprocessing are
compared with Ultralytics' on image files before it is handed on.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.training.trainers.offline import ultralytics
from pipelines.training.trainers.views import numbered_copies
from registry.errors import InputError, IntegrityError, shorten
from registry.mlflow.package import package_torch
from serving.bundle.modelinfo import ModelInfo, write_info
from serving.bundle.preprocess import Preprocess
from serving.export.detections import compare_detections
from serving.export.reference import Answers, Reference

_CHECKED_IMAGES = 64
_AGREEMENT = 0.98
_SAME = 1e-3
"""Ultralytics and we decode with different libraries; more than this is no rounding."""
_SAME_BOXES = 0.95
LETTERBOX = {"resize": "longest side, bilinear", "crop": "none, padded with grey 114"}


class _Classifier(nn.Module):
    """Ultralytics' classification head gives (probabilities, logits) outside of export; keep the first."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        outputs = self.network(images)
        return outputs[0] if isinstance(outputs, (tuple, list)) else outputs


class _Detector(nn.Module):
    """Ultralytics' detection head gives (predictions, what they are decoded from)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        predictions, branches = self.network(images)
        branches = branches.get("one2many", branches)
        return predictions, torch.cat([branches["boxes"], branches["scores"]], 1)


def open_checkpoint(path: Path, work: Path, subject: object = None) -> Any:
    """An Ultralytics model from a `.pt` file. It is a pickle: only ever open one that you trust.

    `subject` is what errors call it, where `path` is a copy that the user has never seen.
    """
    try:
        return ultralytics(work)(path)
    except Exception as error:  # an unpickler raises whatever a foreign file happens to hit
        named = subject or path
        why = f"this Ultralytics cannot read it ({shorten(str(error).replace(str(path), str(named)), 160)})"
        raise InputError(
            named, why, "give a .pt file of Ultralytics, saved by a version not newer than the one here"
        ) from error


def describe(model: Any, arch: str, size: int | None, dataset: str) -> ModelInfo:
    """What an Ultralytics model is, for its folder. Raises InputError for a task that is neither of ours."""
    if model.task not in {"classify", "detect"}:
        raise InputError(arch, f"is made to {model.task}", "give a model that classifies or detects")
    if model.task == "detect" and not hasattr(model.model.model[-1], "reg_max"):
        raise InputError(arch, "is a detector without YOLO's head", "give a YOLO detector")
    own = model.model.names  # those of the model around it are ImageNet's, where the first looks like n01440764
    names = {int(index): str(name) for index, name in (own.items() if isinstance(own, dict) else enumerate(own))}
    side = size or model.overrides.get("imgsz") or (224 if model.task == "classify" else 640)
    detects = model.task == "detect"
    return ModelInfo(
        trainer="yolo",
        arch=arch,
        framework="torch",
        labels=[names[index] for index in range(len(names))],
        preprocess=Preprocess.of({"size": side} | (LETTERBOX if detects else {})),
        dataset=dataset,
        task=model.task,
        strides=tuple(int(stride) for stride in model.model.stride) if detects else (),
    )


def package_checkpoint(model: Any, folder: Path, info: ModelInfo) -> None:
    """Write an Ultralytics model as a stock MLflow folder."""
    network, side = model.model.float(), info.preprocess.size
    if info.task == "detect":
        network.model[-1].end2end = False  # the head whose boxes are suppressed afterwards, which is what is exported
    network = network.fuse(verbose=False).eval()
    network.requires_grad_(requires_grad=False)
    if info.task == "classify":
        module, outputs = _Classifier(network).eval(), [(-1, len(info.labels))]
    else:
        cells = sum((-(-side // stride)) ** 2 for stride in info.strides)
        module = _Detector(network).eval()
        with torch.no_grad():
            channels = module(torch.zeros(1, 3, side, side))[1].shape[1]
        outputs = [(-1, 4 + len(info.labels), cells), (-1, channels, cells)]
    package_torch(module, folder, side, outputs)
    write_info(folder, info)


def compare_with_ultralytics(model: Any, ours: Reference, files: Sequence[Path]) -> None:
    """Raise when the packaged network with our preprocessing does not answer as Ultralytics does, from the files.

    Ultralytics gets copies: what is compared is what happens to a decoded picture, and files of a data set are never handed on.
    """
    files = list(files)[:: max(1, len(files) // _CHECKED_IMAGES)][:_CHECKED_IMAGES]
    with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
        copies = numbered_copies(files, Path(scratch), ours.info.preprocess)
        theirs, answers = _their_answers(model, copies, ours.info), ours.probabilities(files)
    if ours.info.task == "classify":
        agreement = float((theirs.argmax(1) == answers.argmax(1)).mean())
        difference = float(np.median(np.abs(theirs - answers).max(axis=1)))
        wrong = agreement < _AGREEMENT or difference > _SAME
    elif not ((theirs[..., 4] > 0).any() or (answers[..., 4] > 0).any()):
        raise InputError("yolo model", f"finds nothing in {len(files)} images", "train it longer, or give other images")
    else:
        figures = compare_detections("ultralytics", theirs, answers)
        agreement, difference = figures.top1_agreement, figures.mean_abs_diff
        wrong = agreement < _SAME_BOXES
    if wrong:
        raise IntegrityError(
            "yolo model",
            f"does not answer as Ultralytics does (agreement {agreement:.3f}, typical difference {difference:.2g})",
            "report it: its preprocessing has changed",
        )


def _their_answers(model: Any, files: Sequence[Path], info: ModelInfo) -> Answers:
    """Ultralytics' own answers, class by class as our labels are numbered; a detector's on squares, as its exports do it."""
    options = {"imgsz": info.preprocess.size, "device": "cpu", "verbose": False, "rect": False}
    results = [model.predict(str(file), **options)[0] for file in files]
    if info.task == "classify":
        return np.stack([result.probs.data.cpu().numpy() for result in results])
    boxes = np.zeros((len(results), info.suppression.most, 6), np.float32)
    for index, result in enumerate(results):
        rows: NDArray[np.float32] = result.boxes.data.cpu().numpy()
        boxes[index, : len(rows)] = rows
    return boxes


def keep_checkpoint(best: Path, labels: Sequence[str], task: str, folder: Path) -> Path:
    """The checkpoint with its classes' own names, and Ultralytics' results, for the run's artifacts; we load neither."""
    folder.mkdir()
    named = ultralytics(folder.parent)(best, task=task)
    named.model.names = dict(enumerate(labels))
    named.save(folder / best.name)
    if (results := best.parent.parent / "results.csv").exists():
        shutil.copy2(results, folder)
    return folder
