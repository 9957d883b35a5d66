"""From the timings of past runs, or of a short one, to an interval of seconds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from pydantic import Field

from pipelines.training.quotes.planned import Epochs
from registry.events import Trained
from registry.protocols import Entry
from registry.records import Record, Timing

_AT_LEAST = 0.08
"""The same training twice differs by this much on a machine that does other things besides."""
_AT_MOST = 0.5
_NEWEST = 5
CACHED = "local "
"""How places are named whose trainings share a cache."""
_ALIKE = 2.0
"""Data sets that differ by a larger factor say too little of each other."""


class Span(Record):
    """Seconds: an interval, and what is most likely."""

    low: float = Field(ge=0)
    likely: float = Field(ge=0)
    high: float = Field(ge=0)

    def __str__(self) -> str:
        return f"{in_words(self.likely)} ({in_words(self.low)} to {in_words(self.high)})"


class PastTiming(Record):
    """A past run's timing. `warm`: it found the images and features of its data set in the cache."""

    timing: Timing
    dataset: str
    warm: bool


def in_words(seconds: float) -> str:
    """A span of time as people say it."""
    if seconds < 100:  # noqa: PLR2004 two digits of seconds
        return f"{seconds:.0f} s"
    if seconds < 6000:  # noqa: PLR2004 two digits of minutes
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def past_timings(entries: Iterable[Entry]) -> list[PastTiming]:
    """Timings of every training in the ledger, oldest first. Rows with a flaw count for nothing."""
    seen, timings = set[tuple[str, str, str]](), list[PastTiming]()
    for entry in entries:
        event = entry.event
        if not isinstance(event, Trained) or event.timing is None or entry.flaw is not None:
            continue
        key = (event.timing.where, event.timing.recipe, event.dataset)
        timings.append(PastTiming(timing=event.timing, dataset=event.dataset, warm=key in seen))
        seen.add(key)
    return timings


def alike(past: Sequence[PastTiming], where: str, recipe: str, dataset: str, images: int) -> list[Timing]:
    """The newest timings of a recipe at a place that tell how long it takes on a data set of so many images.

    A data set that was trained on before is in this machine's cache, so only runs that found theirs there tell of it, and of a
    new one only those that did not.
    """
    rows = [row for row in past if (row.timing.where, row.timing.recipe) == (where, recipe)]
    if where.startswith(CACHED):
        warm = any(row.dataset == dataset for row in rows)
        rows = [row for row in rows if row.warm is warm]
    exact = [row.timing for row in rows if row.dataset == dataset]
    return (exact or [row.timing for row in rows if _near(row.timing.images, images)])[-_NEWEST:]


def _near(others: int, images: int) -> bool:
    return bool(others) and 1 / _ALIKE <= images / others <= _ALIKE


def estimate(timings: Sequence[Timing], epochs: Epochs) -> Span:
    """How long so many epochs take, by timings of the same recipe. Raises ValueError for no timing.

    What does not depend on epochs (imports, decoding, features, packaging) may grow with the images or not: the interval
    has both.
    """
    if not timings:
        message = "nothing was timed"
        raise ValueError(message)
    ratios = [epochs.images / timing.images if timing.images else 1.0 for timing in timings]
    steps = [_steps(epochs.images, epochs.batch) / _steps(timing.images, epochs.batch) for timing in timings]
    looped = [timing.epoch_s * share for timing, share in zip(timings, steps, strict=True) if timing.planned]
    each = median(looped) if looped else 0.0  # where val was answered by a head alone, no network was tried
    fixed = median(timing.fixed_s for timing in timings)
    ratio = median(ratios)
    low, high = fixed * min(1.0, ratio), fixed * max(1.0, ratio)
    wholes = [
        timing.fixed_s * ratio + timing.epoch_s * share * epochs.likely
        for timing, ratio, share in zip(timings, ratios, steps, strict=True)
    ]
    margin = max(_AT_LEAST, _spread(wholes), min(_AT_MOST, median(timing.unsteady for timing in timings)))
    return Span(
        low=(low + each * epochs.least) * (1 - margin),
        likely=(low + high) / 2 + each * epochs.likely,
        high=(high + each * epochs.most) * (1 + margin),
    )


def _steps(images: int, batch: int) -> int:
    """Of an epoch: a batch is drawn whole, however few images there are."""
    return max(1, -(-images // batch)) if batch else max(1, images)


def _spread(wholes: Sequence[float]) -> float:
    """By how much runs that should have taken as long did not; 0 of one run. At most a half."""
    middle = median(wholes)
    return min(_AT_MOST, max(abs(whole - middle) for whole in wholes) / middle) if middle else 0.0
