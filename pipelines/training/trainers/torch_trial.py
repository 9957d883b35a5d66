"""One way to train a network in PyTorch: an architecture and its weights, whole or as a new head on what they see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from pipelines.data.dataset import DataSet
from pipelines.job.trainers import TorchTrainer
from pipelines.training.trainers.augment import Augmentation
from pipelines.training.trainers.budget import plan
from pipelines.training.trainers.cache import ArrayCache
from pipelines.training.trainers.contract import Watch
from pipelines.training.trainers.devices import training_device
from pipelines.training.trainers.failures import halving, not_finite
from pipelines.training.trainers.images import Images, load_images, pixels_key
from pipelines.training.trainers.state import StateFile
from pipelines.training.trainers.torch_features import train_head
from pipelines.training.trainers.torch_loop import Groups, Loop, Outcome, Recipe
from pipelines.training.trainers.torch_networks import (
    IMAGENET,
    LITE0,
    SCRATCH,
    SMALL_CNN,
    Design,
    Normalised,
    design,
    last_linear,
)
from serving.bundle.preprocess import Preprocess

_RATE_SCRATCH, _RATE_FINE = 0.004, 0.002
_MOST_LOOKED_AT = 3000
"""Images beyond which a network from scratch has enough to learn from, and a pretrained one takes minutes to look at them."""

_LEAST_LOOK = 128
"""Pixels a side: below, features that were trained on 224 see little."""
_ENOUGH, _DOUBT = 10, 0.1
"""Val's images from which on, and its loss below which, a candidate counts as perfect."""


@dataclass(frozen=True)
class Candidate:
    """One way to begin: an architecture, its weights, and whether the backbone stays as it is."""

    arch: str
    weights: str
    frozen: bool

    @property
    def name(self) -> str:
        """What tells it from the others in a run's name."""
        if self.frozen:
            return "frozen"
        return "scratch" if self.weights == SCRATCH else "fine-tuned"


@dataclass(frozen=True)
class Trial:
    """A candidate that was trained: its network (images in 0..1 to logits), and val's scores of it."""

    candidate: Candidate
    design: Design
    network: nn.Module
    outcome: Outcome

    def better_than(self, other: Trial) -> bool:
        """By val's top-1, then by its loss. Without val, what came later."""
        mine, theirs = self.outcome, other.outcome
        return not (theirs.top1, -theirs.loss) > (mine.top1, -mine.loss)

    def solved(self, images: int) -> bool:
        """Whether val, of so many images, is answered without a mistake and without doubt: what follows cannot do better."""
        return images >= _ENOUGH and self.outcome.top1 == 1 and self.outcome.loss < _DOUBT


def candidates(config: TorchTrainer, images: int) -> list[Candidate]:
    """What is tried for a config and so many training images, the cheapest first."""
    if config.weights == "auto":
        arch = LITE0 if config.arch == "auto" else config.arch
        if config.arch == "auto" or arch == LITE0:
            worth = images <= _MOST_LOOKED_AT and (config.imgsz or _LEAST_LOOK) >= _LEAST_LOOK
            frozen = config.freeze == "backbone" or (config.freeze == "auto" and worth)
            ways = [Candidate(LITE0, IMAGENET, frozen=True)] if frozen else []
            if config.arch == "auto" and config.freeze != "backbone":
                ways.append(Candidate(SMALL_CNN, SCRATCH, frozen=False))
            return ways or [Candidate(LITE0, IMAGENET, frozen=False)]
        if config.freeze == "backbone":
            return [Candidate(arch, IMAGENET, frozen=True)]
        return [Candidate(arch, SCRATCH, frozen=False)]
    if config.weights == SCRATCH:
        return [Candidate(SMALL_CNN if config.arch == "auto" else config.arch, SCRATCH, frozen=False)]
    arch = LITE0 if config.arch == "auto" else config.arch
    both = [Candidate(arch, config.weights, frozen=True), Candidate(arch, config.weights, frozen=False)]
    return [way for way in both if config.freeze in ("auto", "backbone" if way.frozen else "none")]


@dataclass(frozen=True)
class Trials:
    """Trains candidates on one data set."""

    config: TorchTrainer
    data: DataSet
    watch: Watch
    cache: ArrayCache | None = None

    def run(self, way: Candidate, offset: int) -> tuple[Trial, int]:
        """Train one. Epochs are counted on from `offset`, because a run has one axis of them; the last is returned too."""
        config, labels = self.config, self.data.manifest.labels
        torch.manual_seed(config.seed)
        device = torch.device(training_device())
        made = design(way.arch, way.weights, len(labels), config.imgsz, config.weights_sha256)
        preprocess = Preprocess(size=made.size, decode=config.decode)
        train, val = (load_images(self.data, split, preprocess, self.cache).to(device) for split in ("train", "val"))
        head = None if way.weights == SCRATCH else last_linear(made.network, way.arch)[0]
        network: nn.Module = Normalised(made.network, made.mean, made.std) if made.mean else made.network
        head = f"network.{head}" if head and made.mean else head
        network = network.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if way.frozen:
            return self._fit_head(way, made, network, (train, val), offset)
        return self._fit_all(way, (made, network, head), (train, val), offset)

    def _fit_head(
        self, way: Candidate, made: Design, network: nn.Module, splits: tuple[Images, Images], offset: int
    ) -> tuple[Trial, int]:
        train, val = splits
        preprocess = Preprocess(size=made.size, decode=self.config.decode)
        key = pixels_key([row.sha256 for row in self.data.rows("train")], preprocess).removeprefix("pixels-")
        held = pixels_key([row.sha256 for row in self.data.rows("val")], preprocess).removeprefix("pixels-")
        named = f"{way.arch}-{made.key}-{key}-{held}"
        frozen = train_head(network, way.arch, train, val, (self.config.seed, self.config.fliplr), (self.cache, named))
        for number, (train_loss, loss, top1) in enumerate(frozen.history, offset + 1):
            scores = {"val_loss": loss, "val_top1": top1} if len(val.targets) else {}
            self.watch.on_epoch(number, {"train_loss": train_loss, **scores})
        outcome = Outcome(frozen.loss, frozen.top1, 0, f"regularisation {frozen.strength}")
        return Trial(way, made, frozen.network, outcome), offset + len(frozen.history)

    def _fit_all(
        self, way: Candidate, what: tuple[Design, nn.Module, str | None], splits: tuple[Images, Images], offset: int
    ) -> tuple[Trial, int]:
        config, (train, val), (made, network, head) = self.config, splits, what
        rate = config.lr0 or (_RATE_SCRATCH if way.weights == SCRATCH else _RATE_FINE)
        begin = {name: value.clone() for name, value in network.state_dict().items()}
        last = [offset]

        def report(epoch: int, metrics: dict[str, float]) -> None:
            last[0] = offset + epoch
            self.watch.on_epoch(last[0], metrics)

        def broken(step: int, batch: Sequence[int], loss: float) -> Exception:
            return not_finite(step, [train.files[index] for index in batch], loss)

        def fit(batch: int) -> Outcome:
            network.load_state_dict(begin)
            planned = plan(len(train.targets), config.epochs, batch)
            self.watch.epochs(offset + planned.epochs)
            self.watch.choose({f"{way.name}_{name}": value for name, value in planned.choices().items()})
            folder = self.watch.checkpoints
            state = StateFile(folder / way.name, self._key(way, batch), self.watch.say) if folder else None
            varied = Augmentation(mirror=config.fliplr).for_passes(planned.epochs)
            recipe = Recipe(rate=rate, augmentation=varied, seed=config.seed)
            return Loop(network, Groups.of(network, head), recipe, planned).train(train, val, report, broken, state)

        outcome = halving(config.batch, fit, self.watch.say)
        self.watch.say(f"{way.arch} {way.name}: {outcome.steps} steps, {outcome.why}")
        return Trial(way, made, network, outcome), last[0]

    def _key(self, way: Candidate, batch: int) -> str:
        return f"{self.data.manifest.digest} {way} {batch} {self.config.model_dump_json()}"


def as_saved(network: nn.Module) -> nn.Module:
    """A trained network as it is written: on the CPU, in the plain order of dimensions, which torch.export's archives want."""
    return network.to("cpu", memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
