"""Choosing among runs and comparing them: conditions, order, the Pareto front, smoothing, and what differs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import InputError
from registry.runs.rows import RunRow
from registry.runs.select import differing_params, filter_runs, pareto, parse_conditions, smooth, sort_runs


def a_run(name: str = "torch 1", **changes) -> RunRow:
    held = {"run_id": name, "experiment_id": "1", "experiment": "hand", "status": "FINISHED", "started_ms": 0, "ended_ms": None}
    return RunRow(**(held | {"metrics": {}, "params": {}, "tags": {"mlflow.user": "ada"}, "name": name} | changes))


def test_conditions_choose_among_runs() -> None:
    rows = [
        a_run("good", metrics={"top1": 0.95}, params={"lr": "0.1"}),
        a_run("bad", metrics={"top1": 0.5}, params={"lr": "0.10"}, status="FAILED"),
        a_run("it's and odd"),
    ]

    def names(text: str) -> list[str]:
        return [row.name for row in filter_runs(rows, parse_conditions(text))]

    assert names("") == ["good", "bad", "it's and odd"]
    assert names("top1 > 0.9") == names("metrics.top1>=0.95") == names("status = FINISHED and top1 <= 1") == ["good"]
    assert names("lr = 0.1") == ["good", "bad"]
    assert names("top1 != 0.5") == ["good", "it's and odd"]
    assert names("name ~ 'and odd'") == names('name = "it\'s and odd"') == ["it's and odd"]
    assert names("user = ada AND experiment = hand and status != FAILED") == ["good", "it's and odd"]
    assert names("missing > 3") == []


def test_runs_are_put_in_order_and_what_lacks_the_value_comes_last_either_way() -> None:
    rows = [
        a_run("none"),
        *(a_run(name, params={"p": value}) for name, value in (("a", "10"), ("b", "9"), ("c", "x"), ("d", "nan"))),
    ]
    assert [row.name for row in sort_runs(rows, "p")] == ["a", "b", "c", "d", "none"]
    assert [row.name for row in sort_runs(rows, "p", ascending=True)] == ["b", "a", "d", "c", "none"]


@pytest.mark.parametrize("text", ["top1", "top1 >", "> 3", "top1 > high", "a = 1 and", "a b = 3"])
def test_a_condition_that_cannot_be_read_says_how_to_write_one(text: str) -> None:
    with pytest.raises(InputError, match=r"test_top1 > 0\.9"):
        parse_conditions(text)


@given(st.lists(st.tuples(st.integers(0, 6), st.one_of(st.integers(0, 6), st.just(float("nan"))))))
def test_nobody_beats_a_run_of_the_front_and_somebody_beats_every_other(points) -> None:
    front = pareto(points)
    for index, (cost, quality) in enumerate(points):
        beaten = math.isnan(quality) or any(
            c <= cost and q >= quality and (c < cost or q > quality) for c, q in points if not math.isnan(q)
        )
        assert front[index] is not beaten


def test_smoothing_keeps_a_constant_and_starts_where_the_curve_does() -> None:
    assert smooth([3.0] * 5, 0.9) == pytest.approx([3.0] * 5)
    assert smooth([1.0, 2.0, 4.0], 0) == [1.0, 2.0, 4.0]
    assert smooth([1.0, 3.0], 0.5) == pytest.approx([1.0, (0.5 * 1 * 0.5 + 0.5 * 3) / 0.75])
    with pytest.raises(InputError):
        smooth([1.0], 1.0)


def test_only_parameters_that_differ_are_shown() -> None:
    rows = [a_run(params={"lr": "1", "same": "x"}), a_run(params={"lr": "2", "same": "x", "only": "y"})]
    assert differing_params(rows) == {"lr": ["1", "2"], "only": ["", "y"]}
