"""A metric has a lower limit, an upper one or both; what it rests on is said, and a name that nobody measures is named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipelines.job.differences import differences
from registry.measured import few_clips_in_words
from registry.records import Evaluation, Evidence
from validation.gates.metric import MetricGate


def evidence(clips: int = 20, **metrics: float) -> Evidence:
    about = {"dataset": "d", "split": "test", "images": 40, "interval": (0.8, 1.0), "classes": [], "confusion": []}
    scored = Evaluation(metrics={"top1": 0.9, **metrics}, clips=clips, **about)
    return Evidence(model="hand", version=1, created_ms=1, digest="d", evaluation=scored)


@given(st.floats(0, 1), st.floats(0, 1))
def test_an_upper_limit_passes_exactly_what_does_not_exceed_it(value: float, limit: float) -> None:
    (finding,) = MetricGate(name="ece", at_most=limit).judge(evidence(ece=value))
    assert (finding.passed, finding.figure, finding.limit) == (value <= limit, value, limit)


def test_an_upper_limit_alone_has_no_lower_one_and_both_are_two_findings() -> None:
    assert MetricGate.model_validate({"name": "ece", "at_most": 0.05}).at_least is None
    both = MetricGate(name="coverage", at_least=0.88, at_most=0.99).judge(evidence(coverage=0.8))
    assert [finding.text for finding in both] == ["coverage 0.8 is below 0.88", "coverage 0.8 is at most 0.99"]
    assert MetricGate().at_least == 0.9


def test_a_gate_of_an_older_release_is_the_same_gate() -> None:
    old = {"kind": "metric", "name": "top1", "at_least": 0.7, "label": None, "slice": None, "images": 1}
    gate = MetricGate.model_validate(old)
    assert gate == MetricGate(at_least=0.7) == MetricGate.model_validate(gate.model_dump())
    upper = MetricGate(name="ece", at_most=0.05)
    assert MetricGate.model_validate(upper.model_dump(mode="json")) == upper


@pytest.mark.parametrize("name", ["ece", "ece_scaled", "set_size", "unsure", "robust_drop"])
def test_a_lower_limit_for_what_is_better_when_lower_is_refused_when_the_job_is_read(name: str) -> None:
    for fields in ({}, {"at_least": 0.9}):
        with pytest.raises(ValidationError, match="better when it is lower"):
            MetricGate(name=name, **fields)
    with pytest.raises(ValidationError, match="a limit is missing"):
        MetricGate(at_least=None)


@pytest.mark.parametrize("name", ["coverage", "unsure", "robust_top1", "blur_3", "noise_1", "ece_scaled"])
def test_each_new_figure_can_be_gated_and_is_refused_where_it_was_not_measured(name: str) -> None:
    gate = MetricGate(name=name, at_most=0.5)
    assert gate.judge(evidence(**{name: 0.5}))[0].passed
    (missing,) = gate.judge(evidence())
    assert not missing.passed
    assert missing.text.startswith(f"{name} was not measured")


def test_a_mistyped_metric_is_told_what_it_may_have_meant() -> None:
    (finding,) = MetricGate(name="blurr_3").judge(evidence(blur_3=1.0))
    assert "did you mean blur_3?" in finding.text


@pytest.mark.parametrize(("clips", "bound"), [(1, "95%"), (2, "78%"), (3, "63%"), (4, "53%")])
def test_with_fewer_than_five_clips_the_finding_says_how_little_it_means(clips: int, bound: str) -> None:
    (finding,) = MetricGate().judge(evidence(clips))
    assert finding.passed
    assert f"only {clips} test clip" in finding.text
    assert f"up to {bound} of other clips may fail" in finding.text


@pytest.mark.parametrize("clips", [5, 6, 100])
def test_with_five_or_more_nothing_is_added(clips: int) -> None:
    assert few_clips_in_words(clips) == ""
    assert MetricGate().judge(evidence(clips))[0].text == "top1 0.9 is at least 0.9"


def test_a_new_upper_limit_is_a_change_of_policy_in_words() -> None:
    before, after = ({"gates": {"staging": [MetricGate(name="ece", at_most=most).model_dump()]}} for most in (0.05, 0.1))
    assert differences(before, after) == ["staging: metric ece at_most 0.05 → 0.10"]
