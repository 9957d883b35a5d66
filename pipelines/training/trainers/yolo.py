"""The `yolo` trainer: Ultralytics' own training, with our logging instead of its callbacks. AGPL-3.0."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from pipelines.data.dataset import DataSet
from pipelines.job.trainers import YoloTrainer
from pipelines.training.trainers.checkpoint import compare_with_ultralytics, package_checkpoint, ultralytics
from pipelines.training.trainers.contract import Fitted, OnEpoch
from serving.bundle.modelinfo import ModelInfo
from serving.bundle.preprocess import Preprocess
from serving.export.reference import Reference


class YoloAdapter:
    """Trains in this process."""

    def __init__(self, config: YoloTrainer) -> None:
        """Use a trainer's config."""
        self._config = config

    def fit(self, data: DataSet, work: Path, on_epoch: OnEpoch) -> Fitted:
        """AdamW and mild augmentation: Ultralytics' defaults, made for ImageNet, stay at chance on small data."""
        config, labels = self._config, data.manifest.labels
        preprocess = Preprocess(size=config.imgsz, decode=config.decode)
        seen = _view(data, work / "data", preprocess)
        model = ultralytics(work)(f"{config.arch}.yaml", task="classify", verbose=False)
        model.add_callback("on_fit_epoch_end", lambda trainer: _report(trainer, on_epoch))
        model.train(
            data=str(seen),
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
            preprocess=preprocess,
            dataset=data.manifest.digest,
        )
        package_checkpoint(ultralytics(work)(best, task="classify"), folder, info)
        compare_with_ultralytics(
            ultralytics(work)(best, task="classify"),
            Reference(folder, info, Path()),
            sorted(path for path in (seen / "val").rglob("*") if path.is_file()),
        )
        return Fitted(folder, _keep(best, work / "extras"))


def _view(data: DataSet, folder: Path, preprocess: Preprocess) -> Path:
    """The splits that training may see: links, or the JPEGs as they will be decoded, without loss, at reduced scale.

    Ultralytics writes its caches beside what it reads; not beside ours.
    """
    folder.mkdir(parents=True)
    for split in ("train", "val"):  # never test: Ultralytics would look at it
        if preprocess.decode == "full":
            (folder / split).symlink_to((data.folder / split).absolute(), target_is_directory=True)
            continue
        for file in data.files(data.rows(split)):
            copy = (folder / file.relative_to(data.folder)).with_suffix(".png")
            copy.parent.mkdir(parents=True, exist_ok=True)
            preprocess.open(file.read_bytes(), str(file)).save(copy, compress_level=1)
    return folder


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


def _keep(best: Path, folder: Path) -> Path:
    """The checkpoint and Ultralytics' own results, for the run's artifacts; nothing of ours loads them."""
    folder.mkdir()
    for file in (best, best.parent.parent / "results.csv"):
        if file.exists():
            shutil.copy2(file, folder)
    return folder
