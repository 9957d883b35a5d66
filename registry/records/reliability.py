"""How far a classifier's answers can be relied on: its probabilities, its "unsure", and worse pictures."""

from __future__ import annotations

import math

from registry.records.base import Record

_ROUNDING = 1e-9


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

    def __str__(self) -> str:
        """What people read."""
        text = f"calibration: ECE {self.ece:.3f}"
        if self.temperature is None or self.ece_scaled is None:
            return f"{text}; no other split to fit a temperature on"
        sure = "too sure of itself" if self.temperature > 1 else "not sure enough of itself"
        fitted = f"fitted on {self.images} {self.split} images of {self.clips} clips"
        return f"{text}, {self.ece_scaled:.3f} with temperature {self.temperature:.2f} ({sure}; {fitted}; not applied)"


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

    def __str__(self) -> str:
        """What people read."""
        low, high = self.interval
        sure = "" if self.sure_top1 is None else f"; where it is sure, {self.sure_top1:.1%} are right"
        share = f"{self.unsure:.1%} of the images, {self.mean_size:.2f} classes on average{sure}"
        kept = f"the true class is among them in {self.coverage:.1%} (by clip, {low:.1%} to {high:.1%})"
        return f"unsure (more than one class at {1 - self.alpha:.0%}): {share}; {kept}; {self.promise}"

    @property
    def promise(self) -> str:
        """What the coverage is worth: promised and kept, promised and broken, or not promised."""
        wanted, calibrated = f"{1 - self.alpha:.0%}", f"{self.clips} {self.split} clip{'' if self.clips == 1 else 's'}"
        if self.broken:
            return f"BROKEN: {wanted} was to be expected from {calibrated}, so these images are of another kind or those leaked"
        if self.guaranteed:
            return f"{wanted} is promised by {calibrated}"
        return f"nothing is promised by {calibrated}, {math.ceil(1 / self.alpha - 1 - _ROUNDING)} are needed for {wanted}"


class Robustness(Record):
    """Top-1 on the same images made worse: `top1` has `blur_1` to `noise_3`, weakest first; `clean` is without."""

    images: int
    clips: int
    clean: float
    top1: dict[str, float]

    @property
    def worst(self) -> str:
        """The way that costs most."""
        return min(self.top1, key=lambda name: self.top1[name])

    def __str__(self) -> str:
        """What people read."""
        where = f"on {self.images} images of {self.clips} clips"
        mean = sum(self.top1.values()) / len(self.top1)
        worst = f"{self.worst} costs most ({self.top1[self.worst]:.3f})"
        return f"robustness: top-1 {self.clean:.3f} {where}, {mean:.3f} on average over {len(self.top1)} ways of worse; {worst}"


class Gain(Record):
    """What more clips of a class are predicted to be worth: so many more, for so much of its images recognized (0 to 1).

    `low` and `high` are the ends of a 90 % interval.
    """

    clips: int
    low: float
    high: float

    @property
    def points(self) -> str:
        """The interval in percentage points, `+2 to +5 points`."""
        return f"{round(self.low * 100):+d} to {round(self.high * 100):+d} points"

    def __str__(self) -> str:
        """What people read."""
        return f"{self.clips} more {'is' if self.clips == 1 else 'are'} worth {self.points}"
