"""Detectors of the `torch` trainer: a backbone, a feature pyramid, and one head a level. Permissive throughout.

Each cell of three grids (strides 8, 16 and 32) says how far the four sides of a box lie from its middle, and how sure it is of
each class. That is what the exports, the suppression and the browser's decoder read (`serving.bundle.modelinfo`, with one
bin a side).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.training.trainers.torch_networks import IMAGENET, SCRATCH, lite0_file
from pipelines.training.trainers.weights import read_weights
from registry.errors import InputError, UnavailableError, missing_extra, shorten

SMALL, SUFFIX = "small_detector", "_detector"
LITE0, _TIMM_LITE0 = "efficientnet_lite0_detector", "tf_efficientnet_lite0"
STRIDES = (8, 16, 32)
_WIDTHS = (24, 48, 96, 128, 160)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LITE0_SCALE = ((127 / 255,) * 3, (128 / 255,) * 3)
_FITTING = 0.9
_RARE = 0.01
"""How probable a class is in a cell before anything is learnt: nearly every cell is background."""


class SmallBackbone(nn.Module):
    """Pairs of 3 x 3 convolutions, each pair at half the side of the one before: features at strides 8, 16 and 32."""

    weights = ""

    def __init__(self) -> None:
        """Build it from scratch; it brings its images to its own scale."""
        super().__init__()
        self.channels = _WIDTHS[2:]
        self.stem = nn.Sequential(nn.BatchNorm2d(3), *convolution(3, _WIDTHS[0], kernel=5, stride=2))
        pairs = [
            nn.Sequential(*convolution(before, width, stride=2), *convolution(width, width))
            for before, width in pairwise(_WIDTHS)
        ]
        self.stages = nn.ModuleList(pairs)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images `[N, 3, S, S]` in 0..1 to three maps of features."""
        features, maps = self.stem(images), list[Tensor]()
        for stage in self.stages:
            features = stage(features)
            maps.append(features)
        return maps[1:]


class TimmBackbone(nn.Module):
    """A network of timm without its head, behind the normalisation that its weights were trained with."""

    def __init__(
        self, network: nn.Module, channels: Sequence[int], mean: Sequence[float], std: Sequence[float], weights: str
    ) -> None:
        """`network` gives maps at strides 8, 16 and 32; `mean` and `std` are by channel, of images in 0..1.

        `weights`: what it begins from, empty for nothing.
        """
        super().__init__()
        self.network, self.channels, self.weights = network, tuple(channels), weights
        self.mean = nn.Buffer(torch.tensor(mean).view(1, -1, 1, 1))
        self.std = nn.Buffer(torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images `[N, 3, S, S]` in 0..1 to three maps of features."""
        return list(self.network((images - self.mean) / self.std))


class Detector(nn.Module):
    """Images in 0..1 `[N, 3, S, S]` to (predictions `[N, 4 + classes, cells]`, raw of the same shape), see `ModelInfo`."""

    def __init__(self, backbone: nn.Module, channels: Sequence[int], classes: int, size: int, width: int = 64) -> None:
        """Put a pyramid and heads on a backbone, for square images of `size` pixels."""
        super().__init__()
        self.backbone, self.weights = backbone, str(backbone.weights)
        self.pyramid = _Pyramid(channels, width)
        self.heads = nn.ModuleList(_Head(width, classes) for _ in STRIDES)
        centres, strides = cells_of(size)
        self.centres, self.strides = nn.Buffer(centres), nn.Buffer(strides)

    def raw(self, images: Tensor) -> Tensor:
        """Distances to the four sides in strides, then logits of the classes: `[N, 4 + classes, cells]`."""
        levels = self.pyramid(self.backbone(images))
        return torch.cat([head(level).flatten(2) for head, level in zip(self.heads, levels, strict=True)], 2)

    def corners(self, raw: Tensor) -> Tensor:
        """Left, top, right and bottom in the input's pixels, `[N, cells, 4]`."""
        reach = raw[:, :4].transpose(1, 2) * self.strides[:, None]
        return torch.cat([self.centres - reach[..., :2], self.centres + reach[..., 2:]], 2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What is registered."""
        raw = self.raw(images)
        reach = raw[:, :4] * self.strides
        before, after = reach[:, :2], reach[:, 2:]
        middle = self.centres.T + (after - before) / 2
        return torch.cat([middle, before + after, raw[:, 4:].sigmoid()], 1), raw


class _Pyramid(nn.Module):
    """Coarse features added to the finer ones (Lin et al. 2017), by doubling only: what every export can do."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(before, width, 1) for before in channels)
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in channels)
        self.doubled = nn.UpsamplingNearest2d(scale_factor=2)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        levels = [layer(features) for layer, features in zip(self.lateral, maps, strict=True)]
        for index in reversed(range(len(levels) - 1)):
            levels[index] = levels[index] + self.doubled(levels[index + 1])
        return [layer(level) for layer, level in zip(self.smooth, levels, strict=True)]


class _Head(nn.Module):
    """One level's distances, which are positive, and logits."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.sides = nn.Sequential(*convolution(width, width), nn.Conv2d(width, 4, 1))
        self.kinds = nn.Sequential(*convolution(width, width), nn.Conv2d(width, classes, 1))
        nn.init.constant_(self.sides[-1].bias, 1.0)  # pyright: ignore[reportArgumentType]
        nn.init.constant_(self.kinds[-1].bias, -math.log((1 - _RARE) / _RARE))  # pyright: ignore[reportArgumentType]

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([functional.elu(self.sides(features)) + 1, self.kinds(features)], 1)


def convolution(before: int, after: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    """Convolution, batch normalisation, ReLU."""
    layer = nn.Conv2d(before, after, kernel, stride=stride, padding=kernel // 2, bias=False)
    return [layer, nn.BatchNorm2d(after), nn.ReLU()]


def cells_of(size: int) -> tuple[Tensor, Tensor]:
    """The cells' middles `[cells, 2]` in pixels and their strides `[cells]`: row by row, stride by stride."""
    centres, strides = list[Tensor](), list[Tensor]()
    for stride in STRIDES:
        line = (torch.arange(math.ceil(size / stride)) + 0.5) * stride
        rows, columns = torch.meshgrid(line, line, indexing="ij")
        centres.append(torch.stack([columns.flatten(), rows.flatten()], 1))
        strides.append(torch.full((len(line) ** 2,), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def build_detector(arch: str, classes: int, size: int, weights: str = "auto", digest: str | None = None) -> Detector:
    """`small_detector`, or `<network of timm>_detector`, whose backbone may begin from `weights`.

    They are `imagenet`, `scratch`, or a file, of which the job may pin the `digest`; `auto` takes ImageNet's where they are
    installed, which they are for EfficientNet-Lite0. Raises InputError for a name that is neither, with the nearest.
    """
    if arch == SMALL:
        if weights not in {"auto", SCRATCH}:
            remedy = f"give `arch: {LITE0}`, or `weights: scratch`"
            raise InputError(f"arch '{SMALL}'", f"has no weights '{weights}'", remedy)
        backbone = SmallBackbone()
        return Detector(backbone, backbone.channels, classes, size)
    chosen = weights if weights != "auto" else IMAGENET if arch == LITE0 else SCRATCH
    backbone = _timm_backbone(arch, chosen, digest)
    return Detector(backbone, backbone.channels, classes, size)


def _timm_backbone(arch: str, weights: str, digest: str | None) -> TimmBackbone:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise missing_extra("timm", f"arch '{arch}'") from error
    name = _TIMM_LITE0 if arch == LITE0 else arch.removesuffix(SUFFIX)
    if not arch.endswith(SUFFIX) or not timm.is_model(name):
        known = [SMALL, LITE0, *(f"{model}{SUFFIX}" for model in timm.list_models())]
        near = get_close_matches(arch, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"for example '{SMALL}' or '{LITE0}'"
        raise InputError(f"arch '{arch}'", "is no detector of the trainer 'torch'", hint)
    fetch = weights == IMAGENET and arch != LITE0
    try:
        network: Any = timm.create_model(name, features_only=True, out_indices=(-3, -2, -1), pretrained=fetch)
        strides, channels = tuple(network.feature_info.reduction()), network.feature_info.channels()
    except Exception as error:  # a hub's client and timm's networks raise in their own ways
        if fetch:
            why = f"cannot be fetched ({type(error).__name__}: {shorten(error, 100)})"
            remedy = f"use `arch: {LITE0}`, whose weights are installed, or `weights: scratch`"
            raise UnavailableError(f"weights 'imagenet' of '{arch}'", why, remedy) from error
        raise InputError(f"arch '{arch}'", "has no maps of features to put a detector on", f"try '{LITE0}'") from error
    if strides != STRIDES:
        raise InputError(f"arch '{arch}'", f"has features at strides {strides}, not {STRIDES}", f"try '{LITE0}'")
    begun, scale = _begin(network, arch, weights, digest)
    return TimmBackbone(network, channels, *scale, begun)


def _begin(network: Any, arch: str, weights: str, digest: str | None) -> tuple[str, tuple[Sequence[float], Sequence[float]]]:
    """Load the weights; returns what they are called, and the mean and deviation by channel that they want images in."""
    config = network.pretrained_cfg if hasattr(network, "pretrained_cfg") else {}
    usual = (tuple(config.get("mean", _MEAN)), tuple(config.get("std", _STD)))
    scale = _LITE0_SCALE if arch == LITE0 else usual
    if weights == SCRATCH:
        return "", scale
    if weights == IMAGENET:
        if arch == LITE0:  # the package's tensors are timm's, in order, under other names
            given = torch.load(lite0_file(), map_location="cpu", weights_only=True).values()
            network.load_state_dict(dict(zip(network.state_dict(), given, strict=False)))
        return IMAGENET, scale
    path = Path(weights)
    state, sha256 = read_weights(path, digest)
    own = network.state_dict()
    bare = {name.removeprefix("module.").removeprefix("network."): tensor for name, tensor in state.items()}
    fitting = {name: bare[name] for name, tensor in own.items() if name in bare and bare[name].shape == tensor.shape}
    if len(fitting) < _FITTING * len(own):
        why = f"fits {len(fitting)} of the {len(own)} tensors of the backbone of '{arch}'"
        raise InputError(path, why, "give the weights of this architecture in timm, or correct `arch:`")
    network.load_state_dict(fitting, strict=False)
    return f"{path.name} (sha256 {sha256[:12]})", scale
