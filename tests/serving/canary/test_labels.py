"""What an answer says of each picture, in each protocol, and when two say the same."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from serving.canary.labels import DetectedBox, answers_of, same_answers


@pytest.mark.parametrize(
    ("answer", "labels"),
    [
        ({"label": "red", "version": 2}, ["red"]),
        ({"predictions": [{"label": "red"}, {"label": "blue"}]}, ["red", "blue"]),
        ({"outputs": [{"name": "probabilities", "shape": [2, 3], "data": [0.1, 0.9, 0, 0.5, 0.2, 0.3]}]}, ["1", "0"]),
        ({"outputs": [{"name": "label", "shape": [1], "data": ["red"]}]}, ["red"]),
        ({"error": "no"}, None),
        ([], None),
    ],
)
def test_labels_are_read_in_each_protocol(answer: object, labels: list[str] | None) -> None:
    assert answers_of(json.dumps(answer).encode()) == labels


CUP = {"label": "cup", "score": 0.9, "box": [10, 10, 50, 50]}
FAINT = {"label": "cup", "score": 0.3, "box": [70, 70, 90, 90]}


def answered(*boxes: Mapping[str, object]) -> list:
    body = json.dumps({"label": "cup", "probability": 0.9, "boxes": boxes}).encode()
    answers = answers_of(body)
    assert answers is not None
    return answers


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ([CUP], True),
        ([CUP | {"score": 0.6, "box": [12, 8, 52, 49]}], True),  # as good as there, and less sure
        ([CUP, FAINT], True),  # what is barely served comes and goes
        ([CUP | {"label": "box"}], False),
        ([CUP | {"box": [60, 10, 90, 50]}], False),
        ([CUP, CUP | {"box": [60, 60, 90, 90]}], False),  # finds a second one
        ([CUP, CUP | {"box": [11, 11, 51, 51]}], False),  # finds the same thing twice
        ([], False),
    ],
)
def test_two_detectors_say_the_same_when_what_either_is_sure_of_is_where_the_other_has_it(
    other: list[dict[str, object]], same: bool
) -> None:
    assert same_answers(answered(CUP), answered(*other)) is same
    assert same_answers(answered(*other), answered(CUP)) is same


def test_the_best_class_alone_does_not_make_two_detectors_agree() -> None:
    """Each answer's `label` is cup: one sees a single cup, the other four."""
    four = [CUP | {"box": [left, 10, left + 20, 30]} for left in (0, 30, 60, 90)]
    assert not same_answers(answered(CUP), answered(*four))


def test_a_detectors_tensor_is_read_without_its_padding() -> None:
    data = [10, 10, 50, 50, 0.9, 0, 0, 0, 0, 0, 0, 0]
    body = json.dumps({"outputs": [{"name": "detections", "shape": [1, 2, 6], "data": data}]}).encode()
    assert answers_of(body) == [(DetectedBox("0", 0.9, (10, 10, 50, 50)),)]


def test_another_number_of_pictures_is_another_answer() -> None:
    assert not same_answers(["red"], ["red", "red"])
    assert same_answers(["red"], ["red"])
    assert not same_answers(["red"], answered(CUP))
