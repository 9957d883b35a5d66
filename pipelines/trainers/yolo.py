"""The `yolo` trainer: Ultralytics' own training, with our logging instead of its callbacks. AGPL-3.0.

What is registered is the trained network as a torch.export program, not Ultralytics' pickle. Its answers through our
preprocessing are held to Ultralytics' own `predict` on the validation images before it is handed on: preprocessing
that differs between training and serving is the oldest way to lose accuracy without noticing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.dataset import DataSet
from pipelines.trainers.config import YoloTrainer
from pipelines.trainers.contract import Fitted, OnEpoch
from registry.errors import IntegrityError
from registry.mlflow.package import package_torch
from serving.export.reference import Reference
from serving.modelinfo import ModelInfo, write_info
from serving.preprocess import Preprocess

_CHECKED_IMAGES = 64
_AGREEMENT = 0.98
_SAME = 1e-3
"""Ultralytics and we decode with different libraries; more than this is no rounding."""


class _First(nn.Module):
    """Ultralytics' classification head gives (probabilities, logits) outside of export; keep the first."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        found = self.network(images)
        return found[0] if isinstance(found, (tuple, list)) else found


class YoloAdapter:
    """Trains in this process."""

    def __init__(self, config: YoloTrainer) -> None:
        """Use a trainer's config."""
        self._config = config

    def fit(self, data: DataSet, work: Path, on_epoch: OnEpoch) -> Fitted:
        """AdamW and mild augmentation: Ultralytics' defaults, made for ImageNet, stay at chance on small data."""
        config, labels = self._config, data.manifest.labels
        model = _ultralytics(work)(f"{config.arch}.yaml", task="classify", verbose=False)
        model.add_callback("on_fit_epoch_end", lambda trainer: _report(trainer, on_epoch))
        model.train(
            data=str(_view(data, work / "data")),
            epochs=config.epochs,
            imgsz=config.imgsz,
            batch=config.batch,
            seed=config.seed,
            optimizer="AdamW",
            lr0=config.lr0,
            warmup_epochs=1,
            auto_augment=None,
            erasing=0.0,
            scale=0.3,
            fliplr=config.fliplr,
            device=0 if torch.cuda.is_available() else "cpu",
            workers=0,
            amp=False,
            plots=False,
            pretrained=False,
            verbose=False,
            project=str(work / "runs"),
            name="train",
            exist_ok=True,
        )
        best = Path(model.trainer.best)
        folder = work / "model"
        info = ModelInfo(
            trainer="yolo",
            arch=config.arch,
            framework="torch",
            labels=labels,
            preprocess=Preprocess(size=config.imgsz),
            dataset=data.manifest.digest,
        )
        self._package(work, best, folder, info)
        _hold_to_ultralytics(work, best, Reference(folder, info, Path()), data)
        return Fitted(folder, _keep(best, work / "extras"))

    def _package(self, work: Path, best: Path, folder: Path, info: ModelInfo) -> None:
        """The best epoch's network as an MLflow model."""
        network = _ultralytics(work)(best, task="classify").model.float().fuse(verbose=False).eval()
        network.requires_grad_(requires_grad=False)
        package_torch(_First(network).eval(), folder, info.preprocess.size, len(info.labels))
        write_info(folder, info)


def _ultralytics(work: Path) -> Any:
    """Ultralytics' model class, offline and with its own MLflow logging off."""
    config = work / "ultralytics"
    config.mkdir(parents=True, exist_ok=True)
    for name, value in (("YOLO_OFFLINE", "true"), ("YOLO_AUTOINSTALL", "false"), ("YOLO_CONFIG_DIR", str(config))):
        os.environ.setdefault(name, value)
    os.environ.setdefault("YOLO_VERBOSE", "false")
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    from ultralytics import YOLO, settings

    settings.update({"mlflow": False, "sync": False})
    return YOLO


def _view(data: DataSet, place: Path) -> Path:
    """Links to the splits that training may see. Ultralytics writes its caches beside what it reads; not beside ours."""
    place.mkdir(parents=True)
    for split in ("train", "val"):  # never test: Ultralytics would look at it
        (place / split).symlink_to((data.folder / split).absolute(), target_is_directory=True)
    return place


def _report(trainer: Any, on_epoch: OnEpoch) -> None:
    """One epoch in our words. Ultralytics calls this once more after the last epoch, for the best weights."""
    if trainer.epoch + 1 > trainer.epochs or getattr(trainer, "modelyard_epoch", 0) > trainer.epoch:
        return
    trainer.modelyard_epoch = trainer.epoch + 1
    metrics = {"train_loss": float(sum(trainer.label_loss_items(trainer.tloss, prefix="train").values()))}
    for theirs, ours in (("metrics/accuracy_top1", "val_top1"), ("val/loss", "val_loss")):
        if theirs in trainer.metrics:
            metrics[ours] = float(trainer.metrics[theirs])
    on_epoch(trainer.epoch + 1, metrics)


def _hold_to_ultralytics(work: Path, best: Path, ours: Reference, data: DataSet) -> None:
    """Raise when the packaged network with our preprocessing does not answer as Ultralytics does, from the files."""
    files = data.files(data.rows("val"))[:: max(1, len(data.rows("val")) // _CHECKED_IMAGES)]
    files = files[:_CHECKED_IMAGES]
    theirs = _their_answers(_ultralytics(work)(best, task="classify"), files, ours.info)
    found = ours.probabilities(files)
    agreement = float((theirs.argmax(1) == found.argmax(1)).mean())
    difference = float(np.median(np.abs(theirs - found).max(axis=1)))
    if agreement < _AGREEMENT or difference > _SAME:
        raise IntegrityError(
            "yolo model",
            f"does not answer as Ultralytics does (agreement {agreement:.3f}, typical difference {difference:.2g})",
            "report it: its preprocessing has changed",
        )


def _their_answers(model: Any, files: Sequence[Path], info: ModelInfo) -> NDArray[np.float32]:
    """Ultralytics' own probabilities, in our labels' order."""
    results = [model.predict(str(file), imgsz=info.preprocess.size, device="cpu", verbose=False)[0] for file in files]
    names = results[0].names
    order = [next(index for index, name in names.items() if name == label) for label in info.labels]
    return np.stack([result.probs.data.cpu().numpy()[order] for result in results])


def _keep(best: Path, place: Path) -> Path:
    """The checkpoint and Ultralytics' own results, for the run's artifacts; nothing of ours loads them."""
    place.mkdir()
    for file in (best, best.parent.parent / "results.csv"):
        if file.exists():
            shutil.copy2(file, place)
    return place
