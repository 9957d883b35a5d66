"""What the job's network sees in the images of train and val, computed once and kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from pipelines.data.dataset import DataSet, FrameRow, Progress
from pipelines.job.trainers import TorchTrainer, TrainerConfig
from pipelines.training.curve.pool import Pool, rotated
from pipelines.training.trainers.cache import ArrayCache
from pipelines.training.trainers.devices import training_device
from pipelines.training.trainers.images import decode_all, pixels_key
from pipelines.training.trainers.torch_features import Features
from pipelines.training.trainers.torch_networks import (
    IMAGENET,
    LITE0,
    SCRATCH,
    SMALL_CNN,
    Normalised,
    design,
    last_linear,
    replace_layer,
)
from serving.bundle.preprocess import Preprocess

_MOST_IMAGES, _MOST_OF_CLIP, _LEAST_OF_CLASS = 2000, 12, 4
"""Images of one clip are much alike: a few of each tell nearly all, and take minutes less."""
_AT_ONCE = 32


@dataclass(frozen=True)
class Seen:
    """The images that the curve is measured on, and the network whose features they are."""

    pool: Pool
    network: str


def backbone_of(configs: Sequence[TrainerConfig]) -> TorchTrainer:
    """The first of a job's trainers that begins from weights, without its other ways; else EfficientNet-Lite0's ImageNet.

    A network from scratch sees nothing yet, and those of other trainers are not read here.
    """
    for config in configs:
        if isinstance(config, TorchTrainer) and config.weights != SCRATCH and config.arch != SMALL_CNN:
            known = config.weights != "auto" or config.arch in {"auto", LITE0}
            if known:
                arch = LITE0 if config.arch == "auto" else config.arch
                weights = IMAGENET if config.weights == "auto" else config.weights
                return config.model_copy(update={"arch": arch, "weights": weights})
    return TorchTrainer(arch=LITE0, weights=IMAGENET)


def see(data: DataSet, config: TorchTrainer, cache: ArrayCache, progress: Progress) -> Seen:
    """Features of train and val. Test stays unseen: what is decided by it, it cannot judge afterwards."""
    rows = thinned([*data.rows("train"), *data.rows("val")])
    features, network = look(data, rows, config, cache, progress)
    return Seen(pooled(data, rows, features), network)


def look(
    data: DataSet, rows: Sequence[FrameRow], config: TorchTrainer, cache: ArrayCache, progress: Progress
) -> tuple[Features, str]:
    """What the config's backbone makes of some images, `[N, F]`, from the cache where it is there; and its name."""
    made = design(config.arch, config.weights, len(data.manifest.labels), config.imgsz, config.weights_sha256)
    preprocess = Preprocess(size=made.size, decode=config.decode)
    key = pixels_key([row.sha256 for row in rows], preprocess).removeprefix("pixels-")
    name = f"features-{made.arch}-{made.key}-{key}"
    features = cache.read(name)
    if features is None or len(features) != len(rows):
        path, _ = last_linear(made.network, made.arch)
        replace_layer(made.network, path, nn.Identity())
        network = Normalised(made.network, made.mean, made.std) if made.mean else made.network
        features = _features(network, data, rows, preprocess, progress)
        cache.write(name, features)
    return features, f"{made.arch} ({made.weights}, {made.size} px)"


def pooled(data: DataSet, rows: Sequence[FrameRow], features: Features) -> Pool:
    """Those images with their classes and clips; clips of train and val are scored in turns.

    Where the split came with the pictures, only val's are: of such train pictures nobody knows which are nearly the same.
    """
    index = {clip: number for number, clip in enumerate(sorted({row.clip for row in rows}))}
    scorable = {index[row.clip] for row in rows if data.manifest.split_from == "dealt" or row.split == "val"}
    trained = [len({row.clip for row in data.rows("train") if row.label == label}) for label in data.manifest.labels]
    clips = np.array([index[row.clip] for row in rows], np.int64)
    targets = np.array(data.targets(rows), np.int64)
    return Pool(rotated(features), targets, clips, data.manifest.labels, trained, frozenset(scorable))


def thinned(rows: Sequence[FrameRow]) -> list[FrameRow]:
    """A few images of each clip, evenly from its whole length: twelve at most, fewer where there are many clips.

    Of more than 2,000 clips some are taken, of each class its share and four at least.
    """
    takes: dict[tuple[str, str], list[FrameRow]] = defaultdict(list)
    for row in rows:
        takes[row.label, row.clip].append(row)
    chosen = list(takes.values()) if len(takes) <= _MOST_IMAGES else _some(takes)
    most = min(_MOST_OF_CLIP, max(1, _MOST_IMAGES // max(1, len(chosen))))
    kept = list[FrameRow]()
    for take in chosen:
        kept += [take[round(float(position))] for position in np.linspace(0, len(take) - 1, min(most, len(take)))]
    return kept


def _some(takes: Mapping[tuple[str, str], list[FrameRow]]) -> list[list[FrameRow]]:
    """Takes of each class, by the luck of a fixed seed; clips of train and val alike, as they come."""
    by_label: dict[str, list[list[FrameRow]]] = defaultdict(list)
    for (label, _), take in takes.items():
        by_label[label].append(take)
    random, chosen = np.random.default_rng(0), list[list[FrameRow]]()
    for own in by_label.values():
        count = min(len(own), max(_LEAST_OF_CLASS, _MOST_IMAGES * len(own) // len(takes)))
        chosen += [own[at] for at in sorted(random.permutation(len(own))[:count].tolist())]
    return chosen


def _features(
    network: nn.Module, data: DataSet, rows: Sequence[FrameRow], preprocess: Preprocess, progress: Progress
) -> Features:
    device = torch.device(training_device())
    network = network.eval().to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    parts = list[Features]()
    with torch.no_grad():
        for start in range(0, len(rows), _AT_ONCE):
            pixels = decode_all(data.files(rows[start : start + _AT_ONCE]), preprocess)
            images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()).to(device).float() / 255
            parts.append(network(images).float().cpu().numpy())
            progress("features", min(start + _AT_ONCE, len(rows)), len(rows))
    return np.concatenate(parts)
