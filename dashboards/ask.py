"""One picture asked of an endpoint on this machine, without Streamlit: its answer, checked, for a page to show."""

from __future__ import annotations

import time
from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import httpx
import msgspec

from registry.errors import InputError, UnavailableError, shorten

if TYPE_CHECKING:
    from PIL.Image import Image

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
MOST_BYTES = 20_000_000
_MOST_ANSWER, _TIMEOUT_S, _OK = 5_000_000, 20.0, 200
_LINE = "#d55e00"


class _Box(msgspec.Struct, frozen=True):
    label: str
    score: float
    box: tuple[float, float, float, float]


class _Answer(msgspec.Struct, frozen=True):
    label: str
    probability: float
    probabilities: dict[str, float]
    boxes: list[_Box] | None = None


class Asked(NamedTuple):
    """What an endpoint answered: its best class, classes by probability, a detector's boxes, and how long it took."""

    label: str
    probabilities: list[tuple[str, float]]
    boxes: list[_Box] | None
    milliseconds: float


def is_on_this_machine(target: str, url: str) -> bool:
    """Whether an endpoint is a process here: others are paid for by the request, and no page wakes them."""
    return target == "local" and urlsplit(url).hostname in LOOPBACK


def ask(url: str, image: bytes, headers: Mapping[str, str]) -> Asked:
    """Send one image file to an endpoint.

    Raises InputError for what it refuses, in its own words, and UnavailableError where nothing of ours answers.
    """
    if not 0 < len(image) <= MOST_BYTES:
        raise InputError("image", f"has {len(image):,} bytes", f"choose a file of 1 to {MOST_BYTES:,} bytes")
    began = time.perf_counter()
    try:
        kind = {"content-type": "application/octet-stream"}
        answer = httpx.post(f"{url}/predict", content=image, headers={**headers, **kind}, timeout=_TIMEOUT_S)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = f"does not answer ({type(error).__name__})"
        raise UnavailableError(f"endpoint {url}", why, "`modelyard reconcile` starts it again") from error
    took = 1e3 * (time.perf_counter() - began)
    if answer.status_code != _OK:
        raise InputError("image", f"was refused by the endpoint: {_reason(answer)}", "choose another one")
    try:
        read = msgspec.json.decode(answer.content[:_MOST_ANSWER], type=_Answer)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnavailableError(f"endpoint {url}", "does not answer as ours do", "see `modelyard status`") from error
    ordered = sorted(read.probabilities.items(), key=lambda pair: -pair[1])
    return Asked(read.label, ordered, read.boxes, took)


def _reason(answer: httpx.Response) -> str:
    try:
        return shorten(str(answer.json()["error"]), 200)
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"


def drawn(image: bytes, asked: Asked) -> Image | None:
    """The picture, upright, with the boxes that were found in it; None for a file that this process cannot open."""
    from PIL import Image as Images
    from PIL import ImageDraw, ImageOps

    try:
        picture = ImageOps.exif_transpose(Images.open(BytesIO(image))).convert("RGB")
        pen, width = ImageDraw.Draw(picture), max(2, round(max(picture.size) / 250))
        for each in asked.boxes or ():
            left, top, right, bottom = each.box
            corners = (min(left, right), min(top, bottom), max(left, right), max(top, bottom))
            pen.rectangle(corners, outline=_LINE, width=width)
            pen.text((corners[0] + 2 * width, corners[1] + 2 * width), f"{each.label} {each.score:.0%}", fill=_LINE)
    except (OSError, ValueError, OverflowError, Images.DecompressionBombError, UnicodeEncodeError):
        return None
    return picture
