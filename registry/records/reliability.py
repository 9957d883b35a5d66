"""How far a classifier's answers can be relied on: its probabilities, its "unsure", and worse pictures."""

from __future__ import annotations

from registry.records.base import Record


class ReliabilityBin(Record):
    """The images whose answer got a probability within one of the bins: its mean, the share that is right, how many."""

    probability: float
    right: float
    images: int


class Calibration(Record):
    """Whether an answer given with a probability of 0.8 is right in 80 % of cases.

    `ece`: the expected calibration error, the mean distance between probability and share right over 15 bins of equal width,
    weighted by images. `temperature`: what divides the logits so that another split (`split`, with so many images of so many
    clips) is fitted best; above 1 the model is too sure of itself. `ece_scaled`: the error with it. The model itself is not
    changed. None where there is no such split.
    """

    ece: float
    bins: list[ReliabilityBin]
    split: str = ""
    images: int = 0
    clips: int = 0
    temperature: float | None = None
    ece_scaled: float | None = None


class PredictionSets(Record):
    """Answers as sets of classes that contain the true one in at least 1 - alpha of cases; unsure where it is not one class.

    A class belongs to the set if its probability is at least `threshold`, and the most probable one always does. The threshold
    comes from `clips` clips of another split. `guaranteed`: these are enough for the promise, which holds for a picture of
    a new clip that is like those. `coverage` is what the scored images show, every clip counting the same, with its 95 %
    interval; `broken`: it is lower than chance explains, so the scored clips are unlike those, or training knew those.
    `sure_top1`: how often an answer that is one class is right, None where there is none.
    """

    alpha: float
    split: str
    clips: int
    threshold: float
    guaranteed: bool
    coverage: float
    interval: tuple[float, float]
    broken: bool
    mean_size: float
    unsure: float
    sure_top1: float | None = None


class Robustness(Record):
    """Top-1 on the same images made worse: `top1` has `blur_1` to `noise_3`, weakest first; `clean` is without."""

    images: int
    clips: int
    clean: float
    top1: dict[str, float]


class Gain(Record):
    """What more clips of a class are predicted to be worth: so many more, for so much top-1, with the interval's ends."""

    clips: int
    low: float
    high: float
