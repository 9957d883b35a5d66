"""One picture asked of an endpoint on this machine, without Streamlit: its answer, checked, for a page to show."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

from registry.errors import InputError, UnavailableError
from serving.inference.prediction import Box, Prediction

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_BYTES = 20_000_000
_LINE = "#d55e00"


class Asked(NamedTuple):
    """What an endpoint answered: its best class, classes by probability, a detector's boxes, and how long it took."""

    label: str
    probabilities: list[tuple[str, float]]
    boxes: list[Box] | None
    milliseconds: float


def ask(url: str, image: bytes, headers: Mapping[str, str]) -> Asked:
    """Send one image file to an endpoint.

    Raises InputError for an image that it refuses, in its own words, and UnavailableError where nothing of ours answers.
    """
    from serving.targets.http_asker import HttpAsker  # the other pages ask nobody

    if not 0 < len(image) <= MOST_BYTES:
        raise InputError("image", f"has {len(image):,} bytes", f"choose a file of 1 to {MOST_BYTES:,} bytes")
    with closing(HttpAsker(url, headers)) as asker:
        began = time.perf_counter()
        fields = asker(image)
        took = 1e3 * (time.perf_counter() - began)
    try:
        answer = Prediction.of({name: fields[name] for name in Prediction.__struct_fields__})
    except InputError as error:
        raise _not_ours(url) from error
    sides = [side for box in answer.boxes or () for side in (box.score, *box.box)]
    if not all(map(isfinite, (*answer.probabilities.values(), *sides))):
        raise _not_ours(url)
    ordered = sorted(answer.probabilities.items(), key=lambda pair: -pair[1])
    return Asked(answer.label, ordered, answer.boxes, took)


def _not_ours(url: str) -> UnavailableError:
    return UnavailableError(f"endpoint {url}", "does not answer as a Modelyard endpoint does", "see `modelyard status`")


def drawn(image: bytes, asked: Asked) -> Image | None:
    """The picture, upright, with the detector's boxes; None for a file that is none of the kinds that are served."""
    from PIL import ImageDraw

    from serving.bundle.decode import decode

    try:
        picture = decode(image)
    except InputError:
        return None
    pen, width = ImageDraw.Draw(picture), max(2, round(max(picture.size) / 250))
    for each in asked.boxes or ():
        across, down = (
            sorted(min(max(side, 0.0), float(most)) for side in each.box[axis::2]) for axis, most in enumerate(picture.size)
        )
        pen.rectangle((across[0], down[0], across[1], down[1]), outline=_LINE, width=width)
        pen.text((across[0] + 2 * width, down[0] + 2 * width), f"{each.label} {each.score:.0%}", fill=_LINE)
    return picture
