"""A score says what it is worth without the images that training has seen."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.data.leaks.report import Leak, LeakReport
from pipelines.evaluation.leaked import price_of_leaks
from pipelines.evaluation.scores import HeldOutSet, evaluate
from registry.events import Evaluated
from registry.measured import price_in_words
from registry.records import Evaluation, Leaked
from registry.reports.accuracy import run_metrics

FILES = [f"test/a/{index}.jpg" for index in range(10)]


def held() -> HeldOutSet:
    return HeldOutSet(["a", "b"], [0] * 5 + [1] * 5, [f"c{index}" for index in range(10)], files=FILES)


def answers(wrong: set[int]) -> np.ndarray:
    rows = np.zeros((10, 2), np.float32)
    for index in range(10):
        rows[index, int(index >= 5) ^ (index in wrong)] = 1
    return rows


def report(leaked: set[int], split: str = "test") -> LeakReport:
    leaks = [
        Leak(kind="scene", split_a="train", file_a="t.jpg", split_b=split, file_b=FILES[index], value=1, text="the background")
        for index in leaked
    ]
    return LeakReport(dataset="x", images={"train": 1, "val": 0, "test": 10}, leaks=tuple(leaks))


def evaluated(leaked: set[int], wrong: set[int]) -> Evaluated:
    score = evaluate(answers(wrong), held(), "x", "test")
    part = price_of_leaks(answers(wrong), held(), report(leaked), "test")
    return Evaluated(model="hand", version=1, created_ms=1, digest="d", evaluation=score.model_copy(update={"leaked": part}))


def test_the_score_without_the_leaked_images_is_beside_the_score() -> None:
    event = evaluated({0, 1, 2, 5}, wrong={9})
    leaked = event.evaluation.leaked
    assert leaked is not None
    assert (leaked.images, leaked.share, leaked.kinds) == (4, 0.4, {"scene": 4})
    assert event.evaluation.metrics["top1"] == 0.9
    assert leaked.metrics["top1"] == pytest.approx(5 / 6)
    assert "scored top-1 0.900" in str(event)
    assert "of which 40% (4 of 10 images) are leaked; without them 0.833 (6 images: too few to say)" in str(event)
    assert leaked.interval is None
    metrics = run_metrics(event.evaluation)
    assert (metrics["test_leaked_share"], metrics["test_top1_without_leaked"]) == (0.4, pytest.approx(5 / 6))


@pytest.mark.parametrize("left", [1, 9, 10, 40])
def test_a_price_says_how_many_images_it_rests_on_and_has_no_interval_for_a_few(left: int) -> None:
    few = Leaked(images=5, share=5 / (5 + left), kinds={"scene": 5}, metrics={"top1": 0.5}, interval=(0.1, 0.9))
    assert ("too few to say" in price_in_words(few)) == (left < 10)
    assert ("0.100 to 0.900" in price_in_words(few)) == (left >= 10)
    assert f"{left} image" in price_in_words(few)


def test_where_all_are_leaked_nothing_is_left_to_measure_on() -> None:
    event = evaluated(set(range(10)), wrong=set())
    assert "without them nothing is left to measure on" in str(event)
    assert "test_top1_without_leaked" not in run_metrics(event.evaluation)


def test_where_a_class_has_no_image_left_no_average_over_classes_is_given() -> None:
    leaked = evaluated({0, 1, 2, 3, 4}, wrong=set()).evaluation.leaked
    assert leaked is not None
    assert set(leaked.metrics) == {"top1", "top5"}


def test_nothing_changes_where_nothing_is_leaked() -> None:
    assert price_of_leaks(answers(set()), held(), report(set()), "test") is None
    assert price_of_leaks(answers(set()), held(), report({1}, split="val"), "test") is None
    assert "leaked" not in str(evaluated(set(), wrong=set()))
    assert not [name for name in run_metrics(evaluated(set(), wrong=set()).evaluation) if "leaked" in name]


def test_a_score_of_an_older_release_is_read() -> None:
    document = evaluated(set(), wrong={1}).evaluation.model_dump(mode="json")
    del document["leaked"]
    assert Evaluation.model_validate(document).leaked is None
