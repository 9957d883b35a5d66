"""How far two thumbnails are from each other, in grey levels. Pure functions over arrays of pairs.

Measured on takes, scenes and photographs (`bench/leak_roc.py`, docs/data-leaks.md): the *median* over pixels of what two
pictures differ by hardly sees what moves in front of a camera, and so tells one camera position from another. Local
features (ORB with RANSAC) see the object instead, which is in every scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pictures = NDArray[np.uint8]
Values = NDArray[np.float32]

_DARK, _BRIGHT = 6, 249
"""Clipped: black bars and white paper say nothing, wherever they are."""
_LEAST = 0.15
"""Share of a picture that must not be clipped to be compared."""
_MOST_SHIFT = 6.0
"""Thumbnail pixels by which a copy may be shifted."""
_MOST_STRETCH = 0.12
_UNTIL = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-3)
_MARGIN = 5
_TURNS = 3
_AGREE = 3.0
"""Grey levels beyond the median by which a pixel of the background may differ."""
_FINE = 2.0
"""Thumbnail pixels: changes over more than about this are light and colour, not structure."""
_FAR = np.float32(1e3)


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on two pictures are taken for one scene, or for one picture: grey levels, and shares of what is in them.

    A picture of less `spread`, `texture` or `contrast` is not compared for scenes, for scenes in another light, or for copies.
    Two backgrounds are one scene only where the edges and spots in them agree: `structure` and `agreement`.
    docs/data-leaks.md has the error rates at these figures.
    """

    scene: float = 3.0
    scene_share: float = 0.33
    light: float = 3.0
    light_share: float = 0.10
    copy: float = 20.0
    copy_share: float = 0.30
    texture: float = 2.0
    spread: float = 2.0
    contrast: float = 4.0
    structure: float = 2.0
    agreement: float = 0.9


def spreads(pictures: Pictures) -> Values:
    """How much is in a picture besides one colour: the median over pixels of what they are from the median colour."""
    return np.median(_from_median(pictures), axis=1).astype(np.float32)


def textures(pictures: Pictures) -> Values:
    """What is in a picture's background besides light that falls off to one side: its distance from a fitted plane."""
    side = pictures.shape[1]
    grey = _over_channels(_by_channel(pictures))
    down, across = np.mgrid[0:side, 0:side].astype(np.float32) / side - 0.5
    plane = np.stack([np.ones(side * side, np.float32), across.ravel(), down.ravel()], axis=1)
    away = np.abs(grey - np.median(grey, axis=1, keepdims=True))
    for _ in range(_TURNS):
        kept = (away <= np.median(away, axis=1, keepdims=True)).astype(np.float32)
        squares = np.einsum("np,pi,pj->nij", kept, plane, plane, optimize=True) + 1e-3 * np.eye(3, dtype=np.float32)
        slopes = np.linalg.solve(squares, np.einsum("np,pi->ni", kept * grey, plane, optimize=True)[..., None])
        away = np.abs(grey - (plane @ slopes)[..., 0])
    return np.median(away, axis=1).astype(np.float32)


def contrasts(pictures: Pictures) -> Values:
    """How far the twentieth of the pixels that is farthest from the median colour is from it: an object counts, a wall not."""
    return _percentile_of(_from_median(pictures))


def background_difference(ours: Pictures, theirs: Pictures) -> Values:
    """Of each pair: the median over pixels of the mean difference of their channels; far where most is clipped."""
    away = _over_channels(np.abs(_by_channel(ours) - _by_channel(theirs)))
    return _median_of(away, ~_clipped(ours, theirs))


def light_difference(ours: Pictures, theirs: Pictures) -> tuple[Values, Values]:
    """The same after the light was made alike (a gain and an offset per channel, fitted to the half that agrees best).

    Returns the median, and the 95th percentile: the second is small only where *all* of the picture is the same.
    """
    mine, yours = _by_channel(ours), _by_channel(theirs)
    middles = [np.median(side, -1, keepdims=True) for side in (mine, yours)]
    away = _over_channels(np.abs((yours - middles[1]) - (mine - middles[0])))
    gain = np.ones((len(ours), 3, 1), np.float32)
    for _ in range(_TURNS):
        kept = (away <= np.median(away, 1, keepdims=True))[:, None].astype(np.float32)
        total = kept.sum(-1, keepdims=True)
        middle, centre = (mine * kept).sum(-1, keepdims=True) / total, (yours * kept).sum(-1, keepdims=True) / total
        from_middle = mine - middle
        weighted = from_middle * kept
        both = (weighted * (yours - centre)).sum(-1, keepdims=True) / total + 1
        own = (weighted * from_middle).sum(-1, keepdims=True) / total + 1
        gain = np.clip(both / own, 0.5, 2.0)
        away = _over_channels(np.abs(yours - (gain * from_middle + centre)))
    scale = np.maximum(1.0, gain.mean((1, 2)))
    return _median_of(away, ~_clipped(ours, theirs)) / scale, _percentile_of(away) / scale


def common_structure(mine: Pictures, yours: Pictures) -> tuple[float, float]:
    """What two backgrounds have in common besides smooth colour, of one pair: grey levels, and the correlation.

    White paper, a sky and the paint of a house look the same wherever they are; edges and spots at the same places do not.
    Looked at where the two agree once the light is made alike, without the slow changes of light and colour.
    """
    ours, theirs = (picture.astype(np.float32).mean(axis=2) for picture in (mine, yours))
    away = np.abs((theirs - np.median(theirs)) - (ours - np.median(ours)))
    for _ in range(_TURNS):
        kept = away <= np.median(away)
        middle, centre = ours[kept].mean(), theirs[kept].mean()
        from_middle = ours - middle
        both, own = (from_middle * (theirs - centre))[kept].mean() + 1, (from_middle[kept] ** 2).mean() + 1
        away = np.abs(theirs - centre - np.clip(both / own, 0.5, 2.0) * from_middle)
    weight = (away <= _AGREE + np.median(away)).astype(np.float32)
    near = cv2.GaussianBlur(weight, (0, 0), _FINE) + 1e-3
    sharp = [side - cv2.GaussianBlur(side * weight, (0, 0), _FINE) / near for side in (ours, theirs)]
    sharp = [side - np.average(side, weights=weight) for side in sharp]
    shared, first, second = (
        float(np.average(left * right, weights=weight))
        for left, right in ((sharp[0], sharp[1]), (sharp[0], sharp[0]), (sharp[1], sharp[1]))
    )
    return max(shared, 0.0) ** 0.5, shared / (first * second + 1e-3) ** 0.5


def _by_channel(pictures: Pictures) -> NDArray[np.float32]:
    """`[N, 3, pixels]`: sums over pixels are then sums over neighbouring bytes, which is several times as quick."""
    return np.moveaxis(pictures, -1, 1).reshape(len(pictures), 3, -1).astype(np.float32)


def _over_channels(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Their mean, `[N, pixels]`."""
    return (values[:, 0] + values[:, 1] + values[:, 2]) / np.float32(3)


def _from_median(pictures: Pictures) -> NDArray[np.float32]:
    channels = _by_channel(pictures)
    return _over_channels(np.abs(channels - np.median(channels, axis=-1, keepdims=True)))


def aligned_difference(mine: Pictures, yours: Pictures) -> float:
    """The 95th percentile of what is left of one pair after the one was laid onto the other; far where none fits.

    An affine map, found by enhanced correlation: a copy that was shifted, cropped or turned by a little.
    """
    grey = [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) for picture in (mine, yours)]
    side = mine.shape[0]
    window = cv2.createHanningWindow((side, side), cv2.CV_32F)
    (right, down), _ = cv2.phaseCorrelate(grey[0].astype(np.float32), grey[1].astype(np.float32), window)
    start = np.eye(2, 3, dtype=np.float32)
    if max(abs(right), abs(down)) < _MARGIN:
        start[:, 2] = right, down
    try:
        _, turn = cv2.findTransformECC(grey[0], grey[1], start, cv2.MOTION_AFFINE, _UNTIL, np.ones_like(grey[1]), 3)
    except cv2.error:  # no correlation to climb, such as of a picture of one colour
        return float(_FAR)
    if np.abs(turn[:, :2] - np.eye(2)).max() > _MOST_STRETCH or np.abs(turn[:, 2]).max() > _MOST_SHIFT:
        return float(_FAR)
    moved = cv2.warpAffine(yours, turn, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    inner = slice(_MARGIN, side - _MARGIN)
    return float(light_difference(mine[None, inner, inner], moved[None, inner, inner].astype(np.uint8))[1][0])


def _clipped(ours: Pictures, theirs: Pictures) -> NDArray[np.bool_]:
    """Pixels that are black in both, or white in both. `[N, pixels]`."""
    dark = bright = np.ones(ours.shape[:-1], bool)
    for channel in range(3):
        mine, yours = ours[..., channel], theirs[..., channel]
        dark = dark & (np.maximum(mine, yours) <= _DARK)
        bright = bright & (np.minimum(mine, yours) >= _BRIGHT)
    return (dark | bright).reshape(len(ours), -1)


def _median_of(away: NDArray[np.float32], kept: NDArray[np.bool_]) -> Values:
    """The median over the pixels that are kept; far where they are too few."""
    if kept.all():
        return np.median(away, axis=1).astype(np.float32)
    masked = np.where(kept, away, np.inf)
    counts = kept.sum(axis=1)
    ordered = np.sort(masked, axis=1)
    middle = ordered[np.arange(len(away)), np.maximum(counts - 1, 0) // 2]
    return np.where(counts >= _LEAST * away.shape[1], middle, _FAR).astype(np.float32)


def _percentile_of(away: NDArray[np.float32]) -> Values:
    rank = int(0.95 * (away.shape[1] - 1))
    return np.partition(away, rank, axis=1)[:, rank].astype(np.float32)
