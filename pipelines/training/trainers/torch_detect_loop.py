"""The loop that trains a detector of the `torch` trainer: watched on val, ended early, and taken up where it was.

What it is taken up from is written after each look at val: an interrupted training ends in the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipelines.evaluation.boxes import outcomes_of
from pipelines.evaluation.detect import LEAST_SCORE
from pipelines.training.trainers.contract import Watch
from pipelines.training.trainers.failures import not_finite
from pipelines.training.trainers.state import StateFile
from pipelines.training.trainers.torch_detect_images import BoxImages, augment, targets_of
from pipelines.training.trainers.torch_detect_loss import Targets, detection_loss
from pipelines.training.trainers.torch_detect_network import Detector
from serving.bundle.modelinfo import ModelInfo
from serving.export.reference import suppress
from validation.average_precision import average_precisions, mean_ap

_STEPS, _REPORTS, _PATIENCE = 400, 20, 6
_LEAST_EPOCHS, _AT_ONCE = 12, 16
_GRADIENT = 10.0


@dataclass(frozen=True, slots=True)
class DetectPlan:
    """What the defaults came to for this data set. Val is looked at, and reported, every `every` epochs.

    `fixed`: the user said how many epochs, and gets them all.
    """

    epochs: int
    steps_per_epoch: int
    batch: int
    lr: float
    every: int
    fixed: bool

    @classmethod
    def of(cls, images: int, batch: int, epochs: int | None, lr: float) -> DetectPlan:
        """A budget of steps, unless the epochs are given."""
        per_epoch = max(1, images // batch + (images % batch > 1))
        planned = epochs or max(_LEAST_EPOCHS, math.ceil(_STEPS / per_epoch))
        return cls(planned, per_epoch, batch, lr, max(1, planned // _REPORTS), fixed=epochs is not None)


@dataclass
class _Saved:
    """Where a training is. `waited`: looks at val without a better score; `best`: the weights that val likes best."""

    epoch: int = 0
    step: int = 0
    waited: int = 0
    score: float = -1.0
    best_epoch: int = 0
    ended: bool = False
    best: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    def document(self) -> dict[str, int | float]:
        """The plain fields."""
        return {name: value for name, value in vars(self).items() if name != "best"}


class DetectLoop:
    """One detector's training: AdamW with a one-cycle schedule. `train` leaves the weights that val likes best in it."""

    def __init__(self, network: Detector, splits: tuple[BoxImages, BoxImages], info: ModelInfo, plan: DetectPlan) -> None:
        """`network` is on the device that trains; of its parameters those learn that want gradients."""
        self._network, (self._train, self._val), self._info, self._plan = network, splits, info, plan
        learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(learning, lr=plan.lr, weight_decay=0.02)
        steps = plan.epochs * plan.steps_per_epoch
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(self._optimizer, plan.lr, steps + 1, pct_start=0.15)
        self._saved = _Saved()

    def train(self, mirrored: float, watch: Watch, state: StateFile | None = None) -> Detector:
        """Train to the end, or until val has not improved for a while; `mirrored` is how often a picture is."""
        saved, plan = self._saved, self._plan
        if state and (former := state.read()):
            self._restore(former)
            saved = self._saved
        losses = list[float]()
        while saved.epoch < plan.epochs and not saved.ended:
            saved.epoch += 1
            losses += self._epoch(mirrored)
            if saved.epoch % plan.every and saved.epoch < plan.epochs:
                continue
            figures = validate(self._network, self._val, self._info)
            watch.on_epoch(saved.epoch, {"train_loss": float(np.mean(losses)), **figures})
            losses.clear()
            self._take(figures, watch)
            if state and (state.is_due or saved.ended or saved.epoch == plan.epochs):
                state.write(self._state())
        return self._restored_best(watch)

    def _epoch(self, mirrored: float) -> list[float]:
        """One pass over the pictures; the losses. Raises ModelyardError where a loss is no number."""
        network, train, saved = self._network, self._train, self._saved
        network.train()
        network.backbone.train(any(parameter.requires_grad for parameter in network.backbone.parameters()))
        losses = list[float]()
        for part in train.batches(self._plan.batch, torch.randperm(len(train.boxes))):
            saved.step += 1
            loss = self._loss(part, mirrored)
            if not math.isfinite(value := loss.item()):
                raise not_finite(saved.step, [train.files[index] for index in part], value)
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), _GRADIENT)
            self._optimizer.step()
            self._schedule.step()
            losses.append(value)
        return losses

    def _loss(self, part: list[int], mirrored: float) -> Tensor:
        network, train = self._network, self._train
        device = network.centres.device
        pixels, boxes = augment(train.pixels[part].float() / 255, [train.boxes[index] for index in part], mirrored)
        targets = Targets(*(values.to(device) for values in targets_of(boxes)))
        raw = network.raw(pixels.to(device))
        return detection_loss(raw[:, 4:].transpose(1, 2), network.corners(raw), network.centres, targets)

    def _take(self, figures: Mapping[str, float], watch: Watch) -> None:
        """Keep what val likes best, of equals the later, which was trained longer; end where it has not improved for long.

        A val split without boxes says nothing, so that nothing is waited for.
        """
        saved, plan = self._saved, self._plan
        if "val_map50_95" not in figures:
            return
        score = figures["val_map50_95"]
        saved.waited = 0 if score > saved.score else saved.waited + 1
        if score >= saved.score:
            saved.score, saved.best_epoch = score, saved.epoch
            saved.best = {name: value.detach().clone() for name, value in self._network.state_dict().items()}
        if saved.waited >= _PATIENCE and not plan.fixed:
            saved.ended = True
            waited = saved.waited * plan.every
            watch.say(f"val has not improved for {waited} epochs: ended after {saved.epoch} of {plan.epochs}")

    def _restored_best(self, watch: Watch) -> Detector:
        saved = self._saved
        if saved.best:
            self._network.load_state_dict(saved.best)
            watch.say(f"kept epoch {saved.best_epoch}: val mAP50-95 {saved.score:.3f}")
        return self._network.eval()

    def _state(self) -> dict[str, Any]:
        """Everything that the next step depends on."""
        return {
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "saved": self._saved.document(),
            "best": self._saved.best,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        self._saved = _Saved(**state["saved"], best=state["best"])
        self._schedule.last_epoch = self._saved.step  # a step's rate follows from its number; the last one is the optimizer's


def validate(network: Detector, val: BoxImages, info: ModelInfo) -> dict[str, float]:
    """MAP on the validation split, by the suppression that serves; nothing where there are no boxes."""
    if not any(map(len, val.boxes)):
        return {}
    network.eval()
    rule = info.changed(suppression=info.suppression.changed(score=LEAST_SCORE, most=100))
    size, detections = info.preprocess.size, list[np.ndarray]()
    with torch.no_grad():
        for start in range(0, len(val.boxes), _AT_ONCE):
            pixels = val.pixels[start : start + _AT_ONCE].float().to(network.centres.device) / 255
            detections += [suppress(rows, rule, (size, size)) for rows in network(pixels)[0].cpu()]
    truth = [boxes.numpy() for boxes in val.boxes]
    outcomes = outcomes_of(truth, detections, val.clips, len(info.labels))
    figures = average_precisions(outcomes, np.ones((1, len(outcomes.per_clip)), np.int64))
    scores = {"val_map50_95": mean_ap(figures)[0], "val_map50": mean_ap(figures, 0)[0]}
    return {name: float(value) for name, value in scores.items()}
