"""Trying a version in production on the Overview: an image goes to its endpoint, and the answer is shown."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from worlds import MARKUP, fill, make_data, page, words

from dashboards.endpoints.ask import MOST_BYTES, Asked, ask, drawn
from registry.errors import InputError, UnavailableError
from registry.events import Deployed, about
from registry.opening import ledger_of
from registry.records import ModelVersion
from registry.settings import Settings
from registry.stages import Stage
from serving.fakes.http import listening

ANSWER = {"label": "a", "probability": 0.9, "probabilities": {"b": 0.1, "a": 0.9}, "model": "hand", "version": 2}
BOXES = [{"label": "a", "score": 0.9, "box": [2, 2, 12, 12]}, {"label": "ü", "score": 0.5, "box": [40, 9, -3, -3]}]


def picture() -> bytes:
    file = BytesIO()
    Image.new("RGB", (16, 16), "red").save(file, "PNG")
    return file.getvalue()


class Endpoint:
    """Gives the reply that a test sets, and keeps what it was asked."""

    def __init__(self) -> None:
        self.reply: Response = JSONResponse(ANSWER)
        self.asked: list[tuple[bytes, str]] = []
        self.app = Starlette(routes=[Route("/predict", self.predict, methods=["POST"])])

    async def predict(self, request: Request) -> Response:
        self.asked.append((await request.body(), request.headers.get("authorization", "")))
        return self.reply


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture
def url(endpoint: Endpoint) -> Iterator[str]:
    with listening(endpoint.app) as address:
        yield address


def deployed(home: Path, url: str, model: str = "hand", target: str = "local") -> None:
    fill(home, model, dataset=make_data(home))
    fields = {"target": target, "url": url, "bundle": "b", "price_as_of": "2026-11-22", "smoke_images": 8}
    version = about(ModelVersion(model, 2, 2), "d")
    ledger_of(Settings(home=home)).append(Deployed(**version, stage=Stage.PRODUCTION, usd_per_month=Decimal(0), **fields))


def test_an_image_goes_to_the_endpoint_with_its_key_and_the_classes_come_back_best_first(endpoint: Endpoint, url: str) -> None:
    asked = ask(url, picture(), {"Authorization": "Bearer k"})
    assert (asked.label, asked.probabilities, asked.boxes) == ("a", [("a", 0.9), ("b", 0.1)], None)
    assert endpoint.asked == [(picture(), "Bearer k")]


@pytest.mark.parametrize(
    ("reply", "kind", "message"),
    [
        (JSONResponse({"error": "image: is no image; send a JPEG"}, 422), InputError, "is no image; send a JPEG"),
        (JSONResponse(["odd"], 500), UnavailableError, "answered: .*500"),
        (Response(b"<html>", 200), UnavailableError, "does not answer as a Modelyard endpoint does"),
        (JSONResponse({"label": 3}), UnavailableError, "does not answer as a Modelyard endpoint does"),
        (JSONResponse(ANSWER | {"label": 3}), UnavailableError, "does not answer as a Modelyard endpoint does"),
        (Response(json.dumps(ANSWER | {"probabilities": {"a": math.nan}})), UnavailableError, "does not answer as a Modelyard"),
        (JSONResponse(ANSWER | {"boxes": [{"label": "a"}]}), UnavailableError, "does not answer as a Modelyard endpoint does"),
    ],
)
def test_any_other_answer_is_one_line(
    endpoint: Endpoint, url: str, reply: Response, kind: type[Exception], message: str
) -> None:
    endpoint.reply = reply
    with pytest.raises(kind, match=message):
        ask(url, picture(), {})


def test_what_is_too_large_is_not_sent_and_a_dead_endpoint_is_one_line(endpoint: Endpoint, url: str) -> None:
    for content in (b"", b"x" * (MOST_BYTES + 1)):
        with pytest.raises(InputError, match="bytes"):
            ask(url, content, {})
    assert endpoint.asked == []
    with pytest.raises(UnavailableError, match=r"does not answer.*modelyard status"):
        ask("http://127.0.0.1:9", picture(), {})


def test_boxes_are_drawn_wherever_they_lie_and_what_is_no_picture_is_not(endpoint: Endpoint, url: str) -> None:
    endpoint.reply = JSONResponse(ANSWER | {"boxes": BOXES})
    asked = ask(url, picture(), {})
    shown = drawn(picture(), asked)
    assert shown is not None
    assert shown.getpixel((2, 2)) != (255, 0, 0)
    assert drawn(b"no picture", asked) is None
    assert drawn(picture(), Asked("a", [], None, 1.0)) is not None


@pytest.mark.parametrize("model", ["hand", MARKUP])
def test_a_test_image_is_tried_on_the_page(endpoint: Endpoint, url: str, home: Path, model: str) -> None:
    deployed(home, url, model)
    endpoint.reply = JSONResponse(ANSWER | {"label": MARKUP})
    shown: Any = page("overview")
    assert not shown.exception, shown.exception
    assert endpoint.asked == [], "nothing is asked before somebody wants it"
    shown.button[0].click().run()
    assert "Choose a test image or an own one." in [note.value for note in shown.info]
    choice = shown.selectbox[0]
    assert choice.options[:3] == ["none", "1: a", "2: b"]
    choice.set_value("1: a")
    shown.button[0].click().run()
    assert not shown.exception, shown.exception
    assert len(endpoint.asked) == 1
    assert "Answered in" in words(shown)
    endpoint.reply = JSONResponse({"error": MARKUP}, 422)
    shown.button[0].click().run()
    assert "the endpoint refused it" in shown.error[0].value.replace("\\", "")


def test_an_endpoint_elsewhere_is_not_offered_and_not_asked(endpoint: Endpoint, url: str, home: Path) -> None:
    deployed(home, url, target="runpod")
    shown = page("overview")
    assert not shown.button
    assert endpoint.asked == []
