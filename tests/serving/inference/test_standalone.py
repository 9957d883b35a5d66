"""The predictor of the clouds' handlers: what it takes for a picture, and what it refuses in one line."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from registry.errors import InputError
from serving.targets.huggingface.handler import EndpointHandler


@pytest.fixture(scope="module")
def handler(make_bundle, tmp_path_factory: pytest.TempPathFactory) -> EndpointHandler:
    return EndpointHandler(str(make_bundle(tmp_path_factory.mktemp("lone") / "bundle").folder))


def best(answer: list) -> str:
    return answer[0]["label"]


GREEN = np.full((40, 48, 3), (0, 255, 0), np.uint8)


@pytest.mark.parametrize(
    "given",
    [GREEN, GREEN[::-1, :, :], GREEN.astype(np.int64), GREEN.tolist(), [list(row) for row in GREEN], Image.fromarray(GREEN)],
    ids=["array", "view", "wider numbers", "lists", "lists of arrays", "picture"],
)
def test_an_array_is_a_picture(handler: EndpointHandler, given: object) -> None:
    assert best(handler({"inputs": given})) == "green"


def test_several_pictures_are_answered_in_order(handler: EndpointHandler, picture: Callable[..., bytes]) -> None:
    red = base64.b64encode(picture("red")).decode()
    given = [red, f"data:image/png;base64,{red}", picture("blue"), GREEN, GREEN.tolist(), Image.fromarray(GREEN)]
    assert [best(answer) for answer in handler({"inputs": given})] == ["red", "red", "blue", "green", "green", "green"]
    for stack in (np.stack([GREEN, GREEN]), np.stack([GREEN, GREEN]).tolist(), [GREEN, GREEN]):
        assert [best(answer) for answer in handler({"inputs": stack})] == ["green", "green"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "image: is missing"),
        ("", "image: is missing"),
        (7, "image: is missing"),
        (b"no picture", "cannot be decoded"),
        ([], "array: is not a picture"),
        ([1, 2, 3], "array: is not a picture"),
        ([[[1, 2, 3]], [[1, 2]]], "array: is not a picture"),
        ([[[256, 0, 0]]], "array: is not a picture"),
        ([[[-1, 0, 0]]], "array: is not a picture"),
        ([[["a", "b", "c"]]], "array: is not a picture"),
        (GREEN / 255, "array: is not a picture"),
        (GREEN[:, :, 0], "array: is not a picture"),
        (GREEN[:0], "array: is not a picture"),
        (np.zeros((1, 200, 3), np.uint8), "more than 100 times longer"),
        ([None], "image: is missing"),
        ({"image": "x"}, "image: is missing"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(handler: EndpointHandler, given: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        handler({"inputs": given})


def test_a_request_without_inputs_is_refused_in_one_line(handler: EndpointHandler) -> None:
    for data in ({}, None):
        with pytest.raises(InputError, match="image: is missing"):
            handler(data)  # type: ignore[arg-type]


def test_a_picture_that_was_opened_and_not_read_is_read_as_a_file_is(handler: EndpointHandler) -> None:
    held = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(held, "JPEG")
    with pytest.raises(InputError, match="cannot be decoded"):
        handler({"inputs": Image.open(io.BytesIO(held.getvalue()[:900]))})
    sixteen = Image.fromarray(np.full((40, 40), 30_000, np.uint16))
    held = io.BytesIO()
    sixteen.save(held, "PNG")
    assert handler({"inputs": sixteen}) == handler({"inputs": held.getvalue()})


def test_the_parameters_of_hugging_faces_client_are_followed(handler: EndpointHandler) -> None:
    for most, labels in ((1, 1), (2, 2), (9, 3), (None, 3)):
        assert len(handler({"inputs": GREEN, "parameters": {"top_k": most}})) == labels
    ranked = handler({"inputs": [GREEN, GREEN], "parameters": {"top_k": 1, "function_to_apply": "softmax"}})
    assert [[answer["label"] for answer in answers] for answers in ranked] == [["green"], ["green"]]
    assert len(handler({"inputs": GREEN, "parameters": None})) == 3


def test_what_hugging_faces_own_client_sends_with_top_k_is_answered(handler: EndpointHandler, picture) -> None:
    """The payload as `InferenceClient.image_classification(image, top_k=2)` makes it, and its reader of the answer."""
    import json

    from huggingface_hub import ImageClassificationOutputElement
    from huggingface_hub.inference._providers.hf_inference import HFInferenceBinaryInputTask

    task = HFInferenceBinaryInputTask("image-classification")
    sent = task._prepare_payload_as_bytes(picture("red"), {"top_k": 2, "function_to_apply": None}, None, None)
    answer = ImageClassificationOutputElement.parse_obj_as_list(handler(json.loads(sent)))
    assert [element.label for element in answer] == ["red", answer[1].label]
    assert answer[0].score > answer[1].score


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"top_k": 0}, "top_k: is not a whole number"),
        ({"top_k": True}, "top_k: is not a whole number"),
        ({"top_k": "2"}, "top_k: is not a whole number"),
        ({"function_to_apply": "sigmoid"}, "function_to_apply: is another"),
        ({"threshold": 0.5}, "'threshold': is not offered"),
        ({"candidate_labels": ["a"]}, "'candidate_labels': is not offered"),
        ([1], "parameters: is not an object"),
    ],
)
def test_parameters_that_are_not_offered_are_refused(handler: EndpointHandler, parameters: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        handler({"inputs": GREEN, "parameters": parameters})


def test_more_pictures_than_a_request_may_hold_are_refused_before_any_is_read(handler: EndpointHandler) -> None:
    with pytest.raises(InputError, match="more than 64 images"):
        handler({"inputs": [""] * 100_000})
