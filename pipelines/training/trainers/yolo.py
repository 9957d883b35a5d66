"""The `yolo` trainer: Ultralytics' own training, with our logging instead of its callbacks. AGPL-3.0."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from pipelines.data.dataset import DataSet
from pipelines.job.trainers import YoloTrainer
from pipelines.training.trainers.checkpoint import compare_with_ultralytics, package_checkpoint
from pipelines.training.trainers.contract import Fitted, OnEpoch, Watch
from pipelines.training.trainers.offline import ultralytics
from pipelines.training.trainers.views import classification_view
from serving.bundle.modelinfo import ModelInfo
from serving.bundle.preprocess import Preprocess
from serving.export.reference import Reference


class YoloAdapter:
    """Trains in this process."""

    def __init__(self, config: YoloTrainer) -> None:
        """Use a trainer's config."""
        self._config = config

    def fit(self, data: DataSet, work: Path, watch: Watch) -> Fitted:
        """AdamW and mild augmentation: Ultralytics' defaults, made for ImageNet, stay at chance on small data."""
        config, labels = self._config, data.manifest.labels
        preprocess = Preprocess(size=config.imgsz, decode=config.decode)
        model = ultralytics(work)(f"{config.arch}.yaml", task="classify", verbose=False)
        watch.epochs(config.epochs)
        model.add_callback("on_fit_epoch_end", lambda trainer: _report(trainer, watch.on_epoch))
        model.train(
            data=str(classification_view(data, work / "data", preprocess)),
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
            data.files(data.rows("val")),
        )
        return Fitted(folder, _keep(best, labels, work / "extras"))


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


def _keep(best: Path, labels: Sequence[str], folder: Path) -> Path:
    """The checkpoint with its classes' own names, and Ultralytics' results, for the run's artifacts; we load neither."""
    folder.mkdir()
    named = ultralytics(folder.parent)(best, task="classify")
    named.model.names = dict(enumerate(labels))
    named.save(folder / best.name)
    if (results := best.parent.parent / "results.csv").exists():
        shutil.copy2(results, folder)
    return folder
