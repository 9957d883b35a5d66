"""The `yolo` trainer: Ultralytics' own training, with our logging instead of its callbacks. AGPL-3.0."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
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
        return Fitted(folder, _keep(best, labels, work / "extras"))


def _view(data: DataSet, folder: Path, preprocess: Preprocess) -> Path:
    """Copies of what training may see, under names that mean nothing: `<split>/<class number>/<image number>`.

    Ultralytics reads folders' names (n01440764 becomes "tench", and its order another), writes caches beside what it reads, and
    writes JPEGs anew that have bytes behind their end. Those, and all at reduced scale, are PNGs of what we decode.
    """
    digits = len(str(len(data.manifest.labels)))
    for split in ("train", "val"):  # never test: Ultralytics would look at it
        rows = data.rows(split)
        for index, (file, target) in enumerate(zip(data.files(rows), data.targets(rows), strict=True)):
            copy = folder / split / f"{target:0{digits}d}" / f"{index:07d}{file.suffix.lower()}"
            copy.parent.mkdir(parents=True, exist_ok=True)
            content = file.read_bytes()
            if preprocess.decode == "full" and not _rewritten(content):
                copy.write_bytes(content)
            else:
                preprocess.open(content, str(file)).save(copy.with_suffix(".png"), compress_level=1)
    return folder


def _rewritten(content: bytes) -> bool:
    """Whether Ultralytics would take it for a damaged JPEG, and write it anew with other pixels."""
    return content.startswith(b"\xff\xd8") and not content.endswith(b"\xff\xd9")


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
