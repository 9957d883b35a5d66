"""The `torch` trainer: plain PyTorch, permissive from end to end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torchvision.models
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import get_model, list_models

from pipelines.data.dataset import DataSet
from pipelines.job.trainers import TorchTrainer
from pipelines.training.trainers.contract import Fitted, OnEpoch, Watch
from registry.errors import InputError
from registry.mlflow.package import package_torch
from serving.bundle.modelinfo import ModelInfo, write_info
from serving.bundle.preprocess import Preprocess, stack_pixels

_WIDTHS = (24, 48, 96, 128)


class Probabilities(nn.Module):
    """A network with its softmax: images in 0..1 `[N, 3, S, S]` to probabilities `[N, classes]`."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap a network that gives logits."""
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """The softmax of the logits."""
        return self.network(images).softmax(1)


def build_network(arch: str, classes: int) -> nn.Module:
    """`small_cnn`, or a torchvision classifier by its name, from scratch."""
    if arch == "small_cnn":
        return _small_cnn(classes)
    if arch not in list_models(module=torchvision.models):
        raise InputError(f"arch '{arch}'", "is neither 'small_cnn' nor a torchvision classifier", "try 'resnet18'")
    return get_model(arch, weights=None, num_classes=classes)


def _small_cnn(classes: int) -> nn.Module:
    """A stem that halves the side, three blocks of two 3 x 3 convolutions that halve it again, and a linear head."""
    layers: list[nn.Module] = [nn.BatchNorm2d(3), *_convolution(3, _WIDTHS[0], kernel=5, stride=2)]
    for before, width in pairwise(_WIDTHS):
        layers += [*_convolution(before, width, stride=2), *_convolution(width, width)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(_WIDTHS[-1], classes))


def _convolution(before: int, after: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """Convolution, batch normalisation, ReLU."""
    convolution = nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.ReLU()]


@dataclass(frozen=True)
class _Images:
    """A split in memory: uint8 `[N, 3, S, S]` and class indices `[N]`."""

    pixels: Tensor
    targets: Tensor

    def batches(self, size: int, order: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches in the given order; a last batch of one is left out, batch normalisation cannot use it."""
        for part in order.split(size):
            if len(part) > 1:
                yield self.pixels[part].float() / 255, self.targets[part]


def _load(data: DataSet, split: str, preprocess: Preprocess) -> _Images:
    rows = data.rows(split)
    pixels = stack_pixels(preprocess, data.files(rows))
    return _Images(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), torch.tensor(data.targets(rows)))


class TorchAdapter:
    """Trains in this process, on the GPU where there is one."""

    def __init__(self, config: TorchTrainer) -> None:
        """Use a trainer's config."""
        self._config = config

    def fit(self, data: DataSet, work: Path, watch: Watch) -> Fitted:
        """AdamW with a one-cycle schedule, random placement, light and contrast."""
        config, labels = self._config, data.manifest.labels
        torch.manual_seed(config.seed)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        preprocess = Preprocess(size=config.imgsz, decode=config.decode)
        train, val = _load(data, "train", preprocess), _load(data, "val", preprocess)
        network = build_network(config.arch, len(labels)).to(device)
        watch.epochs(config.epochs)
        self._train(network, train, val, watch.on_epoch)
        folder = work / "model"
        package_torch(Probabilities(network.cpu()), folder, config.imgsz, [(-1, len(labels))])
        write_info(
            folder,
            ModelInfo(
                trainer="torch",
                arch=config.arch,
                framework="torch",
                labels=labels,
                preprocess=preprocess,
                dataset=data.manifest.digest,
            ),
        )
        return Fitted(folder)

    def _train(self, network: nn.Module, train: _Images, val: _Images, on_epoch: OnEpoch) -> None:
        """The loop."""
        config = self._config
        steps = len(train.targets) // config.batch + 1
        optimizer = torch.optim.AdamW(network.parameters(), lr=config.lr0, weight_decay=0.02)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr0, steps * config.epochs + 1, pct_start=0.2)
        for epoch in range(1, config.epochs + 1):
            network.train()
            losses: list[float] = []
            for images, targets in train.batches(config.batch, torch.randperm(len(train.targets))):
                loss = self._loss(network, augment(images), targets)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
            on_epoch(epoch, {"train_loss": float(np.mean(losses)), **_validate(network, val, config.batch)})

    def _loss(self, network: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        device = next(network.parameters()).device
        return functional.cross_entropy(network(images.to(device)), targets.to(device), label_smoothing=0.05)


def augment(images: Tensor) -> Tensor:
    """Each image of `[N, 3, S, S]` turned, scaled, moved and lit a little differently."""
    count = len(images)
    angle, scale = torch.empty(count).uniform_(-0.2, 0.2), torch.empty(count).uniform_(0.85, 1.2)
    turn = torch.zeros(count, 2, 3)
    turn[:, 0, 0], turn[:, 0, 1] = angle.cos() / scale, -angle.sin() / scale
    turn[:, 1, 0], turn[:, 1, 1] = angle.sin() / scale, angle.cos() / scale
    turn[:, :, 2] = torch.empty(count, 2).uniform_(-0.12, 0.12)
    grid = functional.affine_grid(turn, list(images.shape), align_corners=False)
    moved = functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    gain, lift = torch.empty(count, 3, 1, 1).uniform_(0.8, 1.2), torch.empty(count, 3, 1, 1).uniform_(-0.1, 0.1)
    return (moved * gain + lift).clamp(0, 1)


def _validate(network: nn.Module, val: _Images, batch: int) -> dict[str, float]:
    """Loss and top-1 on the validation split; nothing where there is none."""
    if not len(val.targets):
        return {}
    network.eval()
    device = next(network.parameters()).device
    with torch.no_grad():
        logits = torch.cat([network((part.float() / 255).to(device)).cpu() for part in val.pixels.split(batch)])
    top1 = (logits.argmax(1) == val.targets).float().mean().item()
    return {"val_loss": functional.cross_entropy(logits, val.targets).item(), "val_top1": top1}
