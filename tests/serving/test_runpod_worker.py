"""RunPod's queue worker: what a job may hold, and that everything is counted before anything is decoded."""

from __future__ import annotations

import base64
from collections.abc import Callable

import pytest

from serving.inference.standalone import StandalonePredictor
from serving.runpod_worker import handler_of

Handler = Callable[[object], dict]


class Loaded:
    """What has been loaded; nothing may be asked of a predictor for a job that is refused."""

    def __init__(self, predictor: StandalonePredictor | None = None) -> None:
        self._predictor = predictor

    def get(self) -> StandalonePredictor:
        assert self._predictor, "a predictor was asked for"
        return self._predictor


@pytest.fixture(scope="module")
def handler(make_bundle, tmp_path_factory: pytest.TempPathFactory) -> Handler:
    return handler_of(Loaded(StandalonePredictor(make_bundle(tmp_path_factory.mktemp("queue") / "bundle").folder)))  # type: ignore[arg-type]


def test_a_picture_or_several_are_answered_in_any_base64(handler: Handler, picture: Callable[..., bytes]) -> None:
    texts = [base64.encodebytes(picture("red")).decode(), base64.urlsafe_b64encode(picture("blue")).decode().rstrip("=")]
    assert handler({"input": {"image": texts[0]}})["label"] == "red"
    answers = handler({"input": {"images": texts}})["predictions"]
    assert [answer["label"] for answer in answers] == ["red", "blue"]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (None, "must hold 'image' or 'images'"),
        ({}, "must hold 'image' or 'images'"),
        ({"image": "QQ==", "images": ["QQ=="]}, "must hold 'image' or 'images'"),
        ({"image": "QQ==", "top_k": 3}, "input 'top_k': is not offered"),
        ({"images": []}, "is not a list of images"),
        ({"images": "QQ=="}, "is not a list of images"),
        ({"images": [""] * 100_000}, "more than 64 images"),
        ({"images": ["A" * 11_000_000] * 2}, "more than 20 MB"),
    ],
)
def test_a_job_that_is_refused_costs_nothing(payload: object, message: str) -> None:
    answer = handler_of(Loaded())({"input": payload})  # type: ignore[arg-type]
    assert list(answer) == ["error"]
    assert message in answer["error"]


@pytest.mark.parametrize("text", ["", "%%", 7, None, "QQ=="])
def test_what_is_no_picture_is_one_line(handler: Handler, text: object) -> None:
    assert handler({"input": {"image": text}})["error"].startswith("refused: image: ")
