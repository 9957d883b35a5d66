"""Ultralytics' classification networks in our own loop: frames are decoded once, and batches are made on the device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from pipelines.training.trainers.augment import Augmentation
from pipelines.training.trainers.budget import plan
from pipelines.training.trainers.cache import ArrayCache
from pipelines.training.trainers.contract import Watch
from pipelines.training.trainers.devices import training_device
from pipelines.training.trainers.failures import halving, not_finite
from pipelines.training.trainers.images import load_images
from pipelines.training.trainers.state import StateFile
from pipelines.training.trainers.torch_loop import Groups, Loop, Outcome, Recipe
from pipelines.training.trainers.torch_trial import as_saved
from pipelines.training.trainers.yolo_weights import YoloTraining


class _Logits(nn.Module):
    """Ultralytics' head gives logits while it trains, and (probabilities, logits) otherwise."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        outputs = self.network(images)
        return outputs[1] if isinstance(outputs, (tuple, list)) else outputs


def _redraw(network: nn.Module) -> None:
    """Draw the convolutions' weights as torchvision does.

    Ultralytics leaves them as PyTorch draws them, 2.4 times as small. Batch normalization makes up for the size, but a step
    then turns them further: of ten seeds, one stayed at chance for all of twelve epochs and one until the sixth.
    """
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")


def fit_fast(training: YoloTraining, watch: Watch) -> Path:
    """Train the model's network and save it as Ultralytics' own checkpoint, which is returned."""
    config, data, model = training.config, training.data, training.model
    torch.manual_seed(config.seed)
    device = torch.device(training_device())
    cache = ArrayCache(watch.cache) if watch.cache else None
    train, val = (load_images(data, split, training.preprocess, cache).to(device) for split in ("train", "val"))
    network = _Logits(model.model.float()).to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    head = f"network.model.{len(model.model.model) - 1}"
    network.requires_grad_(requires_grad=True)
    pretrained = config.weights not in {"auto", "scratch"}
    if not pretrained:
        _redraw(network)
    if config.freeze == "backbone":
        for name, parameter in network.named_parameters():
            parameter.requires_grad = name.startswith(f"{head}.")
    begin = {name: value.clone() for name, value in network.state_dict().items()}

    def broken(step: int, batch: Sequence[int], loss: float) -> Exception:
        return not_finite(step, [train.files[index] for index in batch], loss)

    def fit(batch: int) -> Outcome:
        network.load_state_dict(begin)
        key = f"{data.manifest.digest} {batch} {config.model_dump_json()}"
        state = StateFile(watch.checkpoints / "fast", key, watch.say) if watch.checkpoints else None
        planned = plan(len(train.targets), config.epochs, batch)
        varied = Augmentation(mirror=config.fliplr).for_passes(planned.epochs)
        recipe = Recipe(rate=config.lr0, augmentation=varied, seed=config.seed)
        loop = Loop(network, Groups.of(network, head if pretrained else None), recipe, planned)
        return loop.train(train, val, watch.on_epoch, broken, state)

    outcome = halving(config.batch, fit, watch.say)
    watch.say(f"{config.arch}: {outcome.steps} steps, {outcome.why}")
    as_saved(network)
    best = training.work / "runs" / "best.pt"
    best.parent.mkdir(parents=True, exist_ok=True)
    model.save(best)
    return best
