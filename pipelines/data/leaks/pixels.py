"""Held-out pictures whose pixels an earlier split gives away: the same picture, or the same scene."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.data.dataset import Progress
from pipelines.data.leaks.measure import (
    Limits,
    Pictures,
    Values,
    aligned_difference,
    background_difference,
    common_structure,
    contrasts,
    light_difference,
    spreads,
    textures,
)
from pipelines.data.leaks.neighbours import Neighbours, describe, mirrored

_NEAREST, _NEAREST_OF_MANY, _MANY = 32, 16, 20_000
_CLOSEST = 3
"""How many neighbours are compared by their backgrounds, and how many of them with the light made alike."""
_BATCH = 256
_COARSE = 2
"""Every second pixel is compared first, and the best candidate with all."""
_NEAR = 0.45
"""Root mean square of descriptions from where on a shift is worth trying."""

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Alike:
    """A held-out picture and the one of an earlier split that it is like, by their places among all pictures."""

    held_out: int
    earlier: int
    is_copy: bool
    value: float
    text: str


@dataclass(frozen=True)
class Described:
    """All thumbnails, and what can be said of each by itself."""

    pictures: Pictures
    spread: Values
    texture: Values
    contrast: Values

    @classmethod
    def of(cls, pictures: Pictures) -> Described:
        """Describe them batch by batch: they may be more than memory should hold."""
        parts = [pictures[start : start + _BATCH, ::_COARSE, ::_COARSE] for start in range(0, len(pictures), _BATCH)]
        empty = np.zeros(0, np.float32)
        figures = [np.concatenate([empty, *map(measure, parts)]) for measure in (spreads, textures, contrasts)]
        return cls(pictures, *figures)

    def descriptions(self, places: Indices) -> Values:
        """What neighbours are looked for by."""
        parts = [places[start : start + _BATCH] for start in range(0, len(places), _BATCH)]
        return np.concatenate([describe(self.pictures[part], self.spread[part]) for part in parts])


@dataclass(frozen=True, slots=True)
class Compared:
    """Held-out pictures with their nearest earlier ones: by background, by the whole picture in like light, and mirrored."""

    places: Indices
    scene: Indices
    background: Values
    light: Indices
    light_background: Values
    light_whole: Values
    turned: Indices
    turned_background: Values
    turned_whole: Values
    nearest: Indices


def alike_across(described: Described, earlier: Indices, held_out: Indices, progress: Progress) -> Iterator[Alike]:
    """The held-out pictures that are copies of earlier ones, or of the same scene; each with the nearest one."""
    limits, seen = Limits(), 0
    for batch in compare_across(described, earlier, held_out):
        for row in range(len(batch.places)):
            if alike := _copy(described, batch, row, limits) or _scene(described, batch, row, limits):
                yield alike
        seen += len(batch.places)
        progress("comparing pictures across splits", seen, len(held_out))


def compare_across(described: Described, earlier: Indices, held_out: Indices) -> Iterator[Compared]:
    """Every held-out picture against its neighbours among the earlier ones, batch by batch."""
    if not len(earlier) or not len(held_out):
        return
    index = Neighbours(described.descriptions(earlier))
    for start in range(0, len(held_out), _BATCH):
        places = held_out[start : start + _BATCH]
        asked = described.descriptions(places)
        near = earlier[index.nearest(asked, _NEAREST if len(earlier) <= _MANY else _NEAREST_OF_MANY)]
        reflected = earlier[index.nearest(mirrored(asked), _CLOSEST)]
        light = _nearest_in_light(described, places, near[:, :_CLOSEST], mirror=False)
        turned = _nearest_in_light(described, places, reflected, mirror=True)
        yield Compared(places, *_nearest_background(described, places, near), *light, *turned, near[:, 0])


def _copy(described: Described, batch: Compared, row: int, limits: Limits) -> Alike | None:
    """The same picture, mirrored or shifted at most."""
    position = int(batch.places[row])
    contrast = float(described.contrast[position])
    if contrast < limits.contrast:
        return None
    best = min(
        (float(batch.light_whole[row]), int(batch.light[row]), ""),
        (float(batch.turned_whole[row]), int(batch.turned[row]), ", mirrored"),
    )
    nearest = int(batch.nearest[row])
    if not _is_copy(best[0], contrast, limits) and _rms(described, position, nearest) < _NEAR:
        best = min(best, (aligned_difference(described.pictures[position], described.pictures[nearest]), nearest, ", shifted"))
    if not _is_copy(best[0], contrast, limits):
        return None
    words = f"the same picture{best[2]}: 95 % of it differs by {best[0]:.1f} grey levels at most"
    return Alike(position, best[1], True, best[0], words)


def _scene(described: Described, batch: Compared, row: int, limits: Limits) -> Alike | None:
    """The same background, as it is or in another light."""
    position = int(batch.places[row])
    spread = float(described.spread[position])
    raw = float(batch.background[row])
    if spread < limits.spread:
        return None
    if raw <= min(limits.scene, limits.scene_share * spread) and _structured(described, position, int(batch.scene[row])):
        return Alike(position, int(batch.scene[row]), False, raw, f"the background differs by {raw:.1f} grey levels")
    if described.texture[position] < limits.texture:
        return None
    ways = ((batch.light_background, batch.light, ""), (batch.turned_background, batch.turned, ", and one is mirrored"))
    for values, places, words in ways:
        light, other, turned = float(values[row]), int(places[row]), places is batch.turned
        if light <= min(limits.light, limits.light_share * spread) and _structured(described, position, other, mirror=turned):
            text = f"the background differs by {light:.1f} grey levels once the light is made alike{words}"
            return Alike(position, other, False, light, text)
    return None


def _structured(described: Described, position: int, other: int, *, mirror: bool = False) -> bool:
    """Whether it is more than one colour that two backgrounds share."""
    limits, ours = Limits(), described.pictures[position]
    level, agreement = common_structure(ours[:, ::-1] if mirror else ours, described.pictures[other])
    return level >= limits.structure and agreement >= limits.agreement


def _is_copy(value: float, contrast: float, limits: Limits) -> bool:
    return value <= limits.copy and value <= limits.copy_share * contrast


def _rms(described: Described, position: int, other: int) -> float:
    both = np.asarray([position, other])
    ours, theirs = describe(described.pictures[both], described.spread[both])
    return float(np.sqrt(((ours - theirs) ** 2).mean()))


def _nearest_background(described: Described, places: Indices, near: Indices) -> tuple[Indices, Values]:
    """Of each picture the candidate with the nearest background, and the difference at full size."""
    rows = np.arange(len(places))
    step = slice(None, None, _COARSE)
    ours = described.pictures[places][:, step, step]
    coarse = np.stack(
        [background_difference(ours, described.pictures[near[:, column]][:, step, step]) for column in range(near.shape[1])],
        axis=1,
    )
    best = near[rows, coarse.argmin(axis=1)]
    return best, background_difference(described.pictures[places], described.pictures[best])


def _nearest_in_light(described: Described, places: Indices, near: Indices, *, mirror: bool) -> tuple[Indices, Values, Values]:
    """Of each picture the candidate that is nearest in like light, by the whole picture; its median and 95th percentile."""
    ours = described.pictures[places]
    if mirror:
        ours = ours[:, :, ::-1]
    rows, step = np.arange(len(places)), slice(None, None, _COARSE)
    coarse = [light_difference(ours[:, step, step], described.pictures[column][:, step, step]) for column in near.T]
    chosen = np.stack([_sum(parts) for parts in coarse], axis=1).argmin(axis=1)
    best = near[rows, chosen]
    median, whole = (np.stack([parts[kind] for parts in coarse], axis=1)[rows, chosen] for kind in (0, 1))
    limits = Limits()
    close = np.flatnonzero((median <= 2 * limits.light) | (whole <= 2 * limits.copy))
    if len(close):
        median[close], whole[close] = light_difference(ours[close], described.pictures[best[close]])
    return best, median, whole


def _sum(parts: Sequence[Values]) -> Values:
    """Median and percentile together: the nearest scene where there is no copy, the copy where there is."""
    return (parts[0] + parts[1] / 4).astype(np.float32)
