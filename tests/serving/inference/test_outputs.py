"""One place turns a network's numbers into an answer: whoever serves, an image without detections is answered the same."""

from __future__ import annotations

import pytest

from serving.canary.labels import answers_of
from serving.inference.outputs import NOTHING, classification, detection, most_likely
from serving.inference.prediction import classified, detected
from serving.targets.canary_proxy import ProxiedEndpoint, _answer

LABELS = ["cup", "box"]
EMPTY = [[0.0] * 6, [0.0] * 6]
BOX = [[1.0, 2.0, 3.0, 4.0, 0.5, 1.0], *EMPTY]


def test_a_detector_that_detects_nothing_says_so_with_every_label_at_zero() -> None:
    assert detection(LABELS, EMPTY) == {
        "label": NOTHING,
        "probability": 0.0,
        "probabilities": {"cup": 0, "box": 0},
        "boxes": [],
    }
    assert detected(LABELS, EMPTY).plain() == detection(LABELS, EMPTY)


def test_the_records_of_the_server_are_the_plain_answer() -> None:
    for rows in (BOX, EMPTY):
        answer = detection(LABELS, rows)
        record = detected(LABELS, rows)
        assert (record.label, record.probability, record.probabilities) == (
            answer["label"], answer["probability"], answer["probabilities"],
        )  # fmt: skip
        assert [(box.label, box.score, box.box) for box in record.boxes or ()] == [
            (box["label"], box["score"], box["box"]) for box in answer["boxes"]
        ]
    assert classified(LABELS, [0.25, 0.75]).plain() == classification(LABELS, [0.25, 0.75])


@pytest.mark.parametrize(("probabilities", "label"), [({"cup": 0.0, "box": 0.0}, NOTHING), ({"cup": 0.1, "box": 0.2}, "box")])
def test_the_proxy_and_the_comparison_of_answers_name_the_same_label(probabilities: dict[str, float], label: str) -> None:
    live = type("Live", (), {"model": "hand", "version": 1, "bundle": "b"})
    answer = _answer(ProxiedEndpoint(live, lambda _: {}), probabilities)
    assert (answer["label"], answer["probability"]) == (label, probabilities.get(label, 0.0))
    body = f'{{"outputs": [{{"name": "probabilities", "shape": [1, 2], "data": {list(probabilities.values())}}}]}}'
    assert answers_of(body.encode()) == [NOTHING if label == NOTHING else "1"]
    assert most_likely({}) == NOTHING
