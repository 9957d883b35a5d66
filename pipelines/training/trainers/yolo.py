"""The `yolo` trainer: Ultralytics' networks, by its own training or by our loop, with our logging. AGPL-3.0."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from pipelines.data.dataset import DataSet
from pipelines.job.trainers import YoloTrainer
from pipelines.training.trainers.budget import plan
from pipelines.training.trainers.checkpoint import compare_with_ultralytics, keep_checkpoint, package_checkpoint
from pipelines.training.trainers.classes import check_classes
from pipelines.training.trainers.contract import Fitted, OnEpoch, Watch
from pipelines.training.trainers.devices import training_device
from pipelines.training.trainers.failures import halving
from pipelines.training.trainers.offline import ultralytics
from pipelines.training.trainers.views import classification_view
from pipelines.training.trainers.yolo_state import YoloState, whole_batch
from pipelines.training.trainers.yolo_weights import YoloTraining, begin
from serving.bundle.modelinfo import ModelInfo
from serving.bundle.preprocess import Preprocess
from serving.export.reference import Reference

_SCRATCH_SIZE, _PRETRAINED_SIZE = 64, 224
_STEPS = 400
"""Of Ultralytics' own training: each of its epochs costs a pass over val and a checkpoint, however few images there are."""


class YoloAdapter:
    """Trains in this process."""

    def __init__(self, config: YoloTrainer) -> None:
        """Use a trainer's config."""
        self._config = config

    def fit(self, data: DataSet, work: Path, watch: Watch) -> Fitted:
        """Train, and package the best weights, held to Ultralytics' own answers."""
        config, labels = self._config, data.manifest.labels
        check_classes(data)
        torch.manual_seed(config.seed)  # a new network's first weights are drawn
        model, weights = begin(config, len(labels), work)
        size = config.imgsz or (_SCRATCH_SIZE if weights == "scratch" else _PRETRAINED_SIZE)
        preprocess = Preprocess(size=size, decode=config.decode)
        planned = plan(len(data.rows("train")), config.epochs, config.batch, *([] if config.loop == "fast" else [_STEPS]))
        watch.epochs(planned.epochs)
        watch.choose({**planned.choices(), "weights": weights, "imgsz": size, "loop": config.loop})
        training = YoloTraining(config, model, data, preprocess, planned, work)
        if config.loop == "fast":
            from pipelines.training.trainers.yolo_fast import fit_fast

            best = fit_fast(training, watch)
        else:
            best = _fit_theirs(training, watch)
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
            ultralytics(work)(best, task="classify"), Reference(folder, info, Path()), data.files(data.rows("val"))
        )
        way = "scratch" if weights == "scratch" else "frozen" if config.freeze == "backbone" else "fine-tuned"
        return Fitted(
            folder, keep_checkpoint(best, labels, "classify", work / "extras"), name=f"yolo {config.arch} {size} {way}"
        )


def _fit_theirs(training: YoloTraining, watch: Watch) -> Path:
    """Ultralytics' `train()`: AdamW and mild augmentation, since its defaults, made for ImageNet, stay at chance on small data.

    Returns its best checkpoint. One that was broken off goes on from the end of its last epoch.
    """
    data, model = training.data, training.model
    view = classification_view(data, training.work / "data", training.preprocess)
    state = YoloState(watch.checkpoints, [row.file for row in data.rows("train")])
    if state.ended and (best := state.best()):
        return Path(shutil.copy2(best, training.work / best.name))
    model.add_callback("on_fit_epoch_end", lambda trainer: _report(trainer, watch.on_epoch))
    state.follow(model)
    begin = {name: value.clone() for name, value in model.model.state_dict().items()}

    def fit(batch: int) -> Path:
        model.model.load_state_dict(begin)
        batch = whole_batch(len(state.names), batch, training.preprocess.size)
        model.train(data=str(view), batch=batch, **_options(training))
        return Path(model.trainer.best)

    return halving(training.config.batch, fit, watch.say)


def _options(training: YoloTraining) -> dict[str, Any]:
    """What Ultralytics' `train()` is told, except of the data and the batch."""
    config, model, work, planned = training.config, training.model, training.work, training.planned
    device = training_device()
    return {
        "epochs": planned.epochs,
        "patience": 0 if planned.fixed else max(10, planned.epochs // 4),
        "imgsz": training.preprocess.size,
        "seed": config.seed,
        "optimizer": "AdamW",
        "lr0": config.lr0,
        "warmup_epochs": 1,
        "auto_augment": None,
        "erasing": 0.0,
        "scale": 0.3,
        "fliplr": config.fliplr,
        "pretrained": config.weights not in {"auto", "scratch"},
        "freeze": len(model.model.model) - 1 if config.freeze == "backbone" else None,
        "device": {"cuda": 0}.get(device, device),
        "workers": 0,
        "amp": False,
        "plots": False,
        "verbose": False,
        "project": str(work / "runs"),
        "name": "train",
        "exist_ok": True,
    }


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
