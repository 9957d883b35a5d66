"""A new head on a frozen backbone: the backbone looks at each image once, and a logistic regression learns from what it saw."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.training.trainers.augment import Augmentation, augment
from pipelines.training.trainers.cache import ArrayCache
from pipelines.training.trainers.images import Images
from pipelines.training.trainers.torch_networks import last_linear, replace_layer

_BATCH = 32
_MOST_VIEWS, _LOOKS = 8, 600
_STRENGTHS = (0.01, 0.1, 1.0, 10.0)
_MILD = Augmentation(turn=0.2, scale=0.2, aspect=0.1, shear=0.05, shift=0.1, light=0.2, contrast=0.2, tint=0.1, lift=0.05)

Features = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Frozen:
    """A network with a new head, and val's loss and top-1 of it by the strength of the regularisation that val prefers."""

    network: nn.Module
    loss: float
    top1: float
    strength: float
    history: tuple[tuple[float, float, float], ...]


@dataclass(frozen=True, slots=True)
class _Fit:
    """A head, and val's scores of it."""

    loss: float
    top1: float
    strength: float
    weight: Features
    bias: Features


def views_of(images: int) -> int:
    """How many varied copies of each image are looked at besides itself: few images get more."""
    return int(np.clip(_LOOKS // max(1, images) - 1, 0, _MOST_VIEWS))


def train_head(
    network: nn.Module, arch: str, train: Images, val: Images, how: tuple[int, float], cache: tuple[ArrayCache | None, str]
) -> Frozen:
    """Replace the head of `network` (normalised, images in 0..1) with one that is fitted to the features of `train`.

    `how`: a seed, and how often images may be mirrored. `cache` keeps features under a key that names the backbone and the
    images.
    """
    path, layer = last_linear(network, arch)
    replace_layer(network, path, nn.Identity())
    network.eval()
    views, (seed, mirror) = views_of(len(train.targets)), how
    rows = _cached(cache, f"train-{views}-{seed}-{mirror}", lambda: _looks(network, train, views, how))
    seen = _cached(cache, "val", lambda: _features(network, val.pixels))
    targets = np.tile(train.targets.cpu().numpy(), views + 1)
    held = val.targets.cpu().numpy()
    fits = list[_Fit]()
    history = list[tuple[float, float, float]]()
    for strength in _STRENGTHS if len(held) else _STRENGTHS[1:2]:
        weight, bias = _fit(rows, targets, int(layer.out_features), strength)
        loss, top1 = _score(seen @ weight.T + bias, held)
        train_loss, _ = _score(rows @ weight.T + bias, targets)
        history.append((train_loss, loss, top1))
        fits.append(_Fit(loss, top1, strength, weight, bias))
    best = max(fits, key=lambda fit: (fit.top1, -fit.loss)) if len(held) else fits[0]
    replace_layer(network, path, _linear(best.weight, best.bias).to(train.pixels.device))
    return Frozen(network, best.loss, best.top1, best.strength, tuple(history))


def _cached(cache: tuple[ArrayCache | None, str], part: str, make: Callable[[], Features]) -> Features:
    store, key = cache
    if store is None:
        return make()
    features = store.read(f"features-{key}-{part}")
    if features is None:
        features = make()
        store.write(f"features-{key}-{part}", features)
    return features


def _looks(network: nn.Module, train: Images, views: int, how: tuple[int, float]) -> Features:
    """Features of the images and then of varied copies of them, view by view: `[(views + 1) * N, features]`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(how[0])
        varied = replace(_MILD, mirror=how[1])
        rows = [_features(network, train.pixels)]
        rows += [_features(network, train.pixels, varied) for _ in range(views)]
    return np.concatenate(rows)


def _features(network: nn.Module, pixels: Tensor, how: Augmentation | None = None) -> Features:
    if not len(pixels):
        return np.zeros((0, 1), np.float32)
    parts = list[Features]()
    with torch.no_grad():
        for part in pixels.split(_BATCH):
            images = part.float() / 255
            parts.append(network(augment(images, how) if how else images).float().cpu().numpy())
    return np.concatenate(parts)


def _fit(rows: Features, targets: NDArray[np.int64], classes: int, strength: float) -> tuple[Features, Features]:
    """Weights `[classes, features]` and biases of a logistic regression on standardised features, in their own units."""
    from sklearn.linear_model import LogisticRegression

    mean, std = rows.mean(0), rows.std(0) + 1e-3
    scale = std * np.sqrt(rows.shape[1])  # so that one strength means the same for any number of features
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged: val says whether that matters
        fitted = LogisticRegression(C=1 / strength * 10, max_iter=200).fit((rows - mean) / scale, targets)
    weight, bias = np.zeros((classes, rows.shape[1]), np.float32), np.full(classes, -1e4, np.float32)
    coefficients, intercept = fitted.coef_, fitted.intercept_
    if len(fitted.classes_) == 2:  # noqa: PLR2004 scikit-learn gives one row for two classes
        coefficients, intercept = np.vstack([-coefficients, coefficients]) / 2, np.r_[-intercept, intercept] / 2
    weight[fitted.classes_] = coefficients / scale
    bias[fitted.classes_] = intercept - (coefficients / scale) @ mean
    return weight, bias


def _score(logits: Features, targets: NDArray[np.int64]) -> tuple[float, float]:
    if not len(targets):
        return float("nan"), float("nan")
    tensor, wanted = torch.from_numpy(np.ascontiguousarray(logits)), torch.from_numpy(targets)
    loss = nn.functional.cross_entropy(tensor, wanted).item()
    return loss, float((logits.argmax(1) == targets).mean())


def _linear(weight: Features, bias: Features) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer
