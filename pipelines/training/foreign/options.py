"""What a file does not say about the model in it, as the user says it: labels, size, normalisation, layout, outputs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from registry.errors import InputError

Tensors = NDArray[np.float32]
Layout = Literal["nchw", "nhwc"]
Outputs = Literal["logits", "probabilities"]
Resize = Literal["shortest", "both"]
_CHANNELS = 3


@dataclass(frozen=True, slots=True)
class Normalise:
    """What a network does to pixels in 0..1 before its first layer: `(pixels - mean) / std`, channel by channel."""

    name: str
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    @property
    def changes(self) -> bool:
        """Whether it does anything."""
        return any(self.mean) or any(value != 1 for value in self.std)

    def apply(self, tensors: Tensors) -> Tensors:
        """Float32 `[N, 3, S, S]` in 0..1 → as the network was trained on it."""
        mean, std = (np.asarray(values, np.float32).reshape(1, _CHANNELS, 1, 1) for values in (self.mean, self.std))
        return (tensors - mean) / std


KNOWN = {
    "0..1": Normalise("0..1"),
    "imagenet": Normalise("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "-1..1": Normalise("-1..1", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "0..255": Normalise("0..255", std=(1 / 255, 1 / 255, 1 / 255)),
}


@dataclass(frozen=True, slots=True)
class Options:
    """What the user says. None, or empty: the file says it, or it is found out from its answers on the data set."""

    labels: tuple[str, ...] = ()
    size: int | None = None
    normalise: Normalise | None = None
    layout: Layout | None = None
    outputs: Outputs | None = None
    resize: Resize = "shortest"

    @property
    def given(self) -> list[str]:
        """The options that were given, for a format that has no use for them."""
        chosen = {
            "--labels": self.labels,
            "--normalise": self.normalise,
            "--layout": self.layout,
            "--outputs": self.outputs,
            "--resize": self.resize != "shortest",
        }
        return [name for name, value in chosen.items() if value]


def read_options(fields: dict[str, str | None], size: int | None) -> Options:
    """The options of the command line. Raises InputError for a value that is none of those it may be."""
    if size is not None and not 8 <= size <= 2048:  # noqa: PLR2004 an image below 8 px shows nothing, above 2048 fills memory
        raise InputError("--imgsz", f"{size} is not between 8 and 2048", "give the side it was trained with")
    return Options(
        labels=_labels(fields.get("labels")),
        size=size,
        normalise=_normalise(fields),
        layout=cast("Layout | None", _choice("layout", fields, ("nchw", "nhwc"))),
        outputs=cast("Outputs | None", _choice("outputs", fields, ("logits", "probabilities"))),
        resize=cast("Resize", _choice("resize", fields, ("shortest", "both")) or "shortest"),
    )


def _labels(text: str | None) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",")) if text is not None else ()
    if text is not None and (len(names) < 2 or not all(names)):  # noqa: PLR2004 one class is no classifier
        raise InputError("--labels", f"'{text}' does not name two classes or more", "for example --labels cup,box")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError("--labels", f"names '{twice[0]}' twice", "name each output's class once")
    return names


def _normalise(fields: dict[str, str | None]) -> Normalise | None:
    name, mean, std = (fields.get(key) for key in ("normalise", "mean", "std"))
    if name is not None and (mean is not None or std is not None):
        raise InputError("--normalise", "was given beside --mean or --std", "give one or the other")
    if name is not None:
        return KNOWN[cast("str", _choice("normalise", fields, tuple(KNOWN)))]
    if mean is None and std is None:
        return None
    values = _numbers("mean", mean or "0"), _numbers("std", std or "1")
    if min(values[1]) <= 0:
        raise InputError("--std", "has a value that is not above 0", "give the deviation of each channel, in 0..1")
    return Normalise("as given", *values)


def _numbers(name: str, text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in {1, _CHANNELS} or not all(map(math.isfinite, values)):
        raise InputError(f"--{name}", f"'{text}' is not one number or three", f"for example --{name} 0.485,0.456,0.406")
    return values * _CHANNELS if len(values) == 1 else values


def _choice(name: str, fields: dict[str, str | None], choices: tuple[str, ...]) -> str | None:
    value = fields.get(name)
    if value is None or value.lower() in choices:
        return value and value.lower()
    near = get_close_matches(value.lower(), choices, n=1)
    remedy = f"did you mean '{near[0]}'?" if near else "correct it, or leave it out"
    raise InputError(f"--{name}", f"'{value}' is none of {', '.join(choices)}", remedy)
