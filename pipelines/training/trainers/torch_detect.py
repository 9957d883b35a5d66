"""The `torch` trainer's way to a detector: no Ultralytics, no licence but permissive ones."""

from __future__ import annotations

from pathlib import Path

import torch

from pipelines.data.dataset import DataSet
from pipelines.job.trainers import TorchTrainer
from pipelines.training.trainers.classes import check_boxes
from pipelines.training.trainers.contract import Fitted, Watch
from pipelines.training.trainers.devices import training_device
from pipelines.training.trainers.failures import halving
from pipelines.training.trainers.state import StateFile
from pipelines.training.trainers.torch_detect_images import BoxImages, fitting_size, load_boxes
from pipelines.training.trainers.torch_detect_loop import DetectLoop, DetectPlan
from pipelines.training.trainers.torch_detect_network import STRIDES, Detector, build_detector
from registry.errors import InputError
from registry.mlflow.package import package_torch
from serving.bundle.modelinfo import ModelInfo, write_info
from serving.bundle.preprocess import Preprocess

LETTERBOX = {"resize": "longest side, bilinear", "crop": "none, padded with grey 114"}
_BATCH = 16
_LR_SCRATCH, _LR_PRETRAINED = 3e-3, 1e-3


class TorchDetectAdapter:
    """Trains a detector in this process, on the GPU where there is one."""

    def __init__(self, config: TorchTrainer) -> None:
        """Use a trainer's config. Raises InputError for an architecture that is unknown or has not the weights asked for."""
        self._config, self._frozen = config, config.freeze == "backbone"
        with torch.random.fork_rng():
            begun = self._build(1, STRIDES[-1])
        if self._frozen and not begun.weights:
            raise InputError("freeze: backbone", f"'{config.arch}' has no weights to freeze", "give `weights: imagenet`")
        self._way = "frozen" if self._frozen else "fine-tuned" if begun.weights else "scratch"

    def _build(self, classes: int, size: int) -> Detector:
        config = self._config
        return build_detector(config.arch, classes, size, config.weights, config.weights_sha256)

    def fit(self, data: DataSet, work: Path, watch: Watch) -> Fitted:
        """Train, and package the weights that val likes best. One that was broken off goes on from its last look at val."""
        check_boxes(data, watch.say)
        labels, size = data.manifest.labels, self._config.imgsz or fitting_size(data)
        preprocess = Preprocess.of({"size": size} | LETTERBOX)
        train, val = load_boxes(data, "train", preprocess), load_boxes(data, "val", preprocess)
        info = ModelInfo(
            trainer="torch",
            arch=self._config.arch,
            framework="torch",
            labels=labels,
            preprocess=preprocess,
            dataset=data.manifest.digest,
            task="detect",
            strides=STRIDES,
        )
        batch = min(self._config.batch, _BATCH, max(2, len(train.boxes)))
        network = halving(batch, lambda smaller: self._train((train, val), info, smaller, watch), watch.say).cpu()
        folder, cells = work / "model", network.centres.shape[0]
        package_torch(network, folder, size, [(-1, 4 + len(labels), cells)] * 2)
        write_info(folder, info)
        return Fitted(folder, name=f"torch {self._config.arch} {size} {self._way}")

    def _train(self, splits: tuple[BoxImages, BoxImages], info: ModelInfo, batch: int, watch: Watch) -> Detector:
        """Train once with this batch, from its own state where there is one."""
        config = self._config
        torch.manual_seed(config.seed)
        network = self._build(len(info.labels), info.preprocess.size).to(torch.device(training_device()))
        network.backbone.requires_grad_(not self._frozen)
        lr = config.lr0 or (_LR_PRETRAINED if network.weights else _LR_SCRATCH)
        plan = DetectPlan.of(len(splits[0].boxes), batch, config.epochs, lr)
        choices = {"arch": config.arch, "imgsz": info.preprocess.size, "epochs": plan.epochs, "batch": batch, "lr0": plan.lr}
        watch.choose(choices | {"weights": network.weights or "scratch"})
        watch.epochs(plan.epochs)
        folder, key = watch.checkpoints, f"{info.dataset} {batch} {config.model_dump_json()}"
        state = StateFile(folder / "detector", key, watch.say) if folder else None
        return DetectLoop(network, splits, info, plan).train(config.fliplr, watch, state)
