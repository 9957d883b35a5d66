"""The `yolo` trainer's detectors: Ultralytics' own training, with our logging instead of its callbacks. AGPL-3.0."""

from __future__ import annotations

import re
import shutil
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pipelines.data.dataset import DataSet
from pipelines.job.trainers import YoloTrainer
from pipelines.training.trainers.checkpoint import (
    compare_with_ultralytics,
    describe,
    keep_checkpoint,
    open_checkpoint,
    package_checkpoint,
)
from pipelines.training.trainers.classes import check_boxes
from pipelines.training.trainers.contract import Fitted, Watch
from pipelines.training.trainers.devices import training_device
from pipelines.training.trainers.failures import halving
from pipelines.training.trainers.offline import ultralytics
from pipelines.training.trainers.torch_detect_images import fitting_size
from pipelines.training.trainers.views import detection_view
from pipelines.training.trainers.yolo_state import YoloState, whole_batch
from pipelines.training.trainers.yolo_weights import checked_copy, fetch_released, fitting_tensors
from registry.errors import InputError
from serving.bundle.preprocess import Preprocess
from serving.export.reference import Reference

_STEPS, _LEAST_EPOCHS, _BATCH = 600, 12, 16
_METRICS = {"metrics/mAP50-95(B)": "val_map50_95", "metrics/mAP50(B)": "val_map50"}
_SCRATCH = {"auto", "scratch"}
_BACKBONE = 10
"""Layers of the backbone in Ultralytics' networks since YOLOv8."""


class YoloDetectAdapter:
    """Trains in this process."""

    def __init__(self, config: YoloTrainer) -> None:
        """Use a trainer's config. Raises InputError for a network that Ultralytics does not describe, with the nearest."""
        check_arch(config.arch)
        self._config = config

    def fit(self, data: DataSet, work: Path, watch: Watch) -> Fitted:
        """AdamW without mosaic: Ultralytics' defaults, made for COCO, stay at nothing on a few dozen images."""
        config, labels = self._config, data.manifest.labels
        check_boxes(data, watch.say)
        size = config.imgsz or -(-fitting_size(data) // 32) * 32
        preprocess = Preprocess(size=size, resize="longest side, bilinear", crop="none, padded with grey 114")
        view = detection_view(data, work / "data", preprocess)
        begin, weights = self._begin(work)
        images = len(data.rows("train"))
        batch = whole_batch(images, min(config.batch, _BATCH, max(2, images)), size)
        epochs = config.epochs or max(_LEAST_EPOCHS, -(-_STEPS * batch // images))
        watch.choose({"arch": config.arch, "imgsz": size, "epochs": epochs, "batch": batch, "weights": weights})
        watch.epochs(epochs)
        options = {"data": str(view), "epochs": epochs, "imgsz": size, "seed": config.seed, "lr0": config.lr0}
        frozen = _BACKBONE if config.freeze == "backbone" else None
        options |= {"freeze": frozen, "fliplr": config.fliplr, "patience": epochs if config.epochs else max(10, epochs // 4)}
        state = YoloState(watch.checkpoints, [row.file for row in data.rows("train")])
        best = _fit(begin, options | {"batch": batch}, state, work, watch)
        folder = work / "model"
        trained = ultralytics(work)(best, task="detect")
        trained.model.names = dict(enumerate(labels))
        info = describe(trained, config.arch, size, data.manifest.digest)
        package_checkpoint(trained, folder, info)
        _compare(work, best, Reference(folder, info, Path()), data, watch)
        way = "scratch" if weights == "scratch" else "frozen" if frozen else "fine-tuned"
        kept = keep_checkpoint(best, labels, "detect", work / "extras")
        return Fitted(folder, kept, name=f"yolo {config.arch} {size} {way}")

    def _begin(self, work: Path) -> tuple[Path | str, str]:
        """What training begins from, a network's description or a checkpoint; and that in words."""
        config = self._config
        if config.weights in _SCRATCH:
            if config.freeze == "backbone":
                raise InputError("freeze: backbone", "there are no weights to freeze", "give `weights:` of the trainer too")
            return f"{config.arch}.yaml", "scratch"
        fetched = config.weights == "imagenet"
        source = fetch_released(config.arch, work) if fetched else Path(config.weights)
        digest = checked_copy(source, config.weights_sha256, work)
        own = work / "weights" / source.name
        model = open_checkpoint(own, work, source)
        if model.task != "detect":
            raise InputError(source, f"is made to {model.task}, and the job's task is detect", "give a detector's weights")
        fitting_tensors(model, ultralytics(work)(f"{config.arch}.yaml", task="detect", verbose=False), source)
        return own, "released by Ultralytics, of COCO" if fetched else f"{source.name} (sha256 {digest[:12]})"


def check_arch(arch: str) -> None:
    """Raise InputError for a name that none of the installed Ultralytics' networks has; nothing is imported to find out."""
    package = find_spec("ultralytics")
    folder = Path(package.origin or "").parent / "cfg" / "models" if package else Path()
    known = {file.stem for file in folder.glob("*/yolo*.yaml") if re.fullmatch(r"yolov?\d+[a-z]?", file.stem)}
    scaled = {f"{name}{size}" for name in known if name[-1].isdigit() for size in "nsmlx"}
    names = sorted(scaled | {name for name in known if not name[-1].isdigit()})
    if names and arch not in names:
        near = get_close_matches(arch, names, n=1)
        remedy = f"did you mean '{near[0]}'?" if near else "for example 'yolov8n' or 'yolo11n'"
        raise InputError(f"arch '{arch}'", "is no detector that the installed Ultralytics describes", remedy)


def _fit(begin: Path | str, options: dict[str, Any], state: YoloState, work: Path, watch: Watch) -> Path:
    """Train, and return where the best weights are. What was broken off goes on from the end of its last epoch."""
    images = len(state.names)
    if state.ended and (best := state.best()):
        return Path(shutil.copy2(best, work / best.name))

    def fit(batch: int) -> Path:
        given = {"batch": whole_batch(images, batch, options["imgsz"])}
        return _train(begin, options | given, state, work, watch)

    return halving(options["batch"], fit, watch.say)


def _train(begin: Path | str, options: dict[str, Any], state: YoloState, work: Path, watch: Watch) -> Path:
    """Train once."""
    model, device = ultralytics(work)(begin, task="detect", verbose=False), training_device()
    model.add_callback("on_fit_epoch_end", lambda trainer: _report(trainer, watch))
    state.follow(model)
    model.train(
        **options,
        optimizer="AdamW",
        warmup_epochs=1.0,
        mosaic=0.0,
        device={"cuda": 0}.get(device, device),
        workers=0,
        amp=False,
        plots=False,
        pretrained=isinstance(begin, Path),
        verbose=False,
        project=str(work / "runs"),
        name="train",
        exist_ok=True,
    )
    done = model.trainer.epoch + 1
    if done < options["epochs"]:
        watch.say(f"val has not improved for {options['patience']} epochs: ended after {done} of {options['epochs']}")
    return Path(model.trainer.best)


def _report(trainer: Any, watch: Watch) -> None:
    """One epoch in our words. Ultralytics calls this once more after the last epoch, for the best weights."""
    if trainer.epoch + 1 > trainer.epochs or getattr(trainer, "modelyard_epoch", 0) > trainer.epoch:
        return
    trainer.modelyard_epoch = trainer.epoch + 1
    loss = float(sum(trainer.label_loss_items(trainer.tloss, prefix="train").values()))
    figures = {ours: float(trainer.metrics[theirs]) for theirs, ours in _METRICS.items() if theirs in trainer.metrics}
    losses = [float(value) for name, value in trainer.metrics.items() if name.startswith("val/")]
    watch.on_epoch(trainer.epoch + 1, {"train_loss": loss, **figures, **({"val_loss": sum(losses)} if losses else {})})


def _compare(work: Path, best: Path, ours: Reference, data: DataSet, watch: Watch) -> None:
    """Hold the program to Ultralytics' own answers; a detector that finds nothing is still a result, and said."""
    try:
        compare_with_ultralytics(ultralytics(work)(best, task="detect"), ours, data.files(data.rows("val")))
    except InputError as error:
        watch.say(f"{error.expectation} of val; {error.remedy}")
