"""The `torch` trainer's way to a detector: no Ultralytics, no licence but permissive ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipelines.data.dataset import DataSet
from pipelines.evaluation.boxes import outcomes_of
from pipelines.evaluation.detect import LEAST_SCORE
from pipelines.job.trainers import TorchTrainer
from pipelines.training.trainers.contract import Fitted, Watch
from pipelines.training.trainers.failures import halving, not_finite
from pipelines.training.trainers.torch_detect_images import BoxImages, augment, fitting_size, load_boxes, targets_of
from pipelines.training.trainers.torch_detect_loss import Targets, detection_loss
from pipelines.training.trainers.torch_detect_network import STRIDES, Detector, build_detector
from registry.errors import InputError
from registry.mlflow.package import package_torch
from serving.bundle.modelinfo import ModelInfo, write_info
from serving.bundle.preprocess import Preprocess
from serving.export.reference import suppress
from validation.average_precision import average_precisions, mean_ap

LETTERBOX = {"resize": "longest side, bilinear", "crop": "none, padded with grey 114"}
_STEPS, _REPORTS, _PATIENCE = 400, 20, 6
_LEAST_EPOCHS, _BATCH = 12, 16
_LR_SCRATCH, _LR_PRETRAINED = 3e-3, 1e-3
_GRADIENT = 10.0


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the defaults came to for this data set. `fixed`: the user said how many epochs, and gets them all."""

    epochs: int
    steps_per_epoch: int
    batch: int
    lr: float
    every: int
    fixed: bool


class TorchDetectAdapter:
    """Trains a detector in this process, on the GPU where there is one."""

    def __init__(self, config: TorchTrainer) -> None:
        """Use a trainer's config. Raises InputError for an architecture that is unknown or has not the weights asked for."""
        self._config, self._frozen = config, config.freeze == "backbone"
        with torch.random.fork_rng():
            begun = self._build(1, STRIDES[-1])
        if self._frozen and not begun.weights:
            raise InputError("freeze: backbone", f"'{config.arch}' has no weights to freeze", "give `weights: imagenet`")

    def _build(self, classes: int, size: int) -> Detector:
        config = self._config
        return build_detector(config.arch, classes, size, config.weights, config.weights_sha256)

    def fit(self, data: DataSet, work: Path, watch: Watch) -> Fitted:
        """AdamW with a one-cycle schedule; the weights that val likes best are kept."""
        if data.manifest.task != "detect":
            raise InputError(data.name, "is a classifier's data set, which has no boxes", "give one whose task is detect")
        labels, size = data.manifest.labels, self._config.imgsz or fitting_size(data)
        preprocess = Preprocess.of({"size": size} | LETTERBOX)
        train, val = load_boxes(data, "train", preprocess), load_boxes(data, "val", preprocess)
        if not any(map(len, train.boxes)):
            raise InputError(data.name, "its train split has no box", "label some of its images")
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
        return Fitted(folder, name=f"torch {self._config.arch} {size}")

    def _plan(self, images: int, batch: int, *, pretrained: bool) -> _Plan:
        per_epoch = max(1, images // batch + (images % batch > 1))
        planned = self._config.epochs or max(_LEAST_EPOCHS, math.ceil(_STEPS / per_epoch))
        lr = self._config.lr0 or (_LR_PRETRAINED if pretrained else _LR_SCRATCH)
        every = max(1, planned // _REPORTS)
        return _Plan(planned, per_epoch, batch, lr, every, fixed=self._config.epochs is not None)

    def _train(self, splits: tuple[BoxImages, BoxImages], info: ModelInfo, batch: int, watch: Watch) -> Detector:
        """The loop. Ends early where val has not improved for a while, unless the epochs were given."""
        (train, val), config = splits, self._config
        torch.manual_seed(config.seed)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        network = self._build(len(info.labels), info.preprocess.size).to(device)
        network.backbone.requires_grad_(not self._frozen)
        plan = self._plan(len(train.boxes), batch, pretrained=bool(network.weights))
        choices = {"arch": config.arch, "imgsz": info.preprocess.size, "epochs": plan.epochs, "batch": batch, "lr0": plan.lr}
        watch.choose(choices | {"weights": network.weights or "scratch"})
        watch.epochs(plan.epochs)
        optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=plan.lr, weight_decay=0.02)
        steps = plan.epochs * plan.steps_per_epoch
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, plan.lr, steps + 1, pct_start=0.15)
        best, waited, step = _Best(), 0, 0
        for epoch in range(1, plan.epochs + 1):
            network.train()
            network.backbone.train(not self._frozen)
            losses: list[float] = []
            for part in train.batches(batch, torch.randperm(len(train.boxes))):
                step += 1
                loss = self._loss(network, train, part)
                if not math.isfinite(value := loss.item()):
                    raise not_finite(step, [train.files[index] for index in part], value)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), _GRADIENT)
                optimizer.step()
                schedule.step()
                losses.append(value)
            measured = epoch % plan.every == 0 or epoch == plan.epochs
            figures = validate(network, val, info) if measured else {}
            watch.on_epoch(epoch, {"train_loss": float(np.mean(losses)), **figures})
            waited = 0 if best.take(network, figures) else waited + measured
            if waited >= _PATIENCE and not plan.fixed:
                watch.say(f"val has not improved for {waited * plan.every} epochs: ended after {epoch} of {plan.epochs}")
                break
        return best.restore(network)

    def _loss(self, network: Detector, train: BoxImages, part: list[int]) -> Tensor:
        device = network.centres.device
        mirrored = self._config.fliplr
        pixels, boxes = augment(train.pixels[part].float() / 255, [train.boxes[index] for index in part], mirrored)
        targets = Targets(*(values.to(device) for values in targets_of(boxes)))
        raw = network.raw(pixels.to(device))
        return detection_loss(raw[:, 4:].transpose(1, 2), network.corners(raw), network.centres, targets)


class _Best:
    """The weights that val likes best; of equals the later ones, which were trained longer."""

    def __init__(self) -> None:
        self._score, self._weights = -1.0, dict[str, Tensor]()

    def take(self, network: Detector, figures: Mapping[str, float]) -> bool:
        """Keep these weights if they are the best; says whether val improved."""
        score = figures.get("val_map50_95", -1.0)
        if "val_map50_95" not in figures or score < self._score:
            return False
        improved, self._score = score > self._score, score
        self._weights = {name: value.detach().clone() for name, value in network.state_dict().items()}
        return improved

    def restore(self, network: Detector) -> Detector:
        if self._weights:
            network.load_state_dict(self._weights)
        return network.eval()


def validate(network: Detector, val: BoxImages, info: ModelInfo) -> dict[str, float]:
    """MAP on the validation split, by the suppression that serves; nothing where there are no boxes."""
    if not any(map(len, val.boxes)):
        return {}
    network.eval()
    rule = info.changed(suppression=info.suppression.changed(score=LEAST_SCORE, most=100))
    size, detections = info.preprocess.size, list[np.ndarray]()
    with torch.no_grad():
        for start in range(0, len(val.boxes), _BATCH):
            pixels = val.pixels[start : start + _BATCH].float().to(network.centres.device) / 255
            detections += [suppress(rows, rule, (size, size)) for rows in network(pixels)[0].cpu()]
    truth = [boxes.numpy() for boxes in val.boxes]
    outcomes = outcomes_of(truth, detections, val.clips, len(info.labels))
    figures = average_precisions(outcomes, np.ones((1, len(outcomes.per_clip)), np.int64))
    scores = {"val_map50_95": mean_ap(figures)[0], "val_map50": mean_ap(figures, 0)[0]}
    return {name: float(value) for name, value in scores.items()}
