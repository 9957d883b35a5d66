"""The labels of an answer, in each protocol."""

from __future__ import annotations

import json

import pytest

from serving.canary.labels import labels_of


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
    assert labels_of(json.dumps(answer).encode()) == labels
