"""Gates fail on what is missing, NaN or beyond the limit, and say the figure."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.protocols import Gate
from registry.records import Evaluation, Evidence, Latency, Limits, ParityFigures
from validation.gates.budget import BudgetGate
from validation.gates.latency import LatencyGate
from validation.gates.metric import MetricGate
from validation.gates.parity import ParityGate
from validation.gates.size import SizeGate

GATES: list[Gate] = [MetricGate(), ParityGate(), LatencyGate(), SizeGate(), BudgetGate()]


def evidence(**facts) -> Evidence:
    return Evidence(model="hand", version=1, created_ms=1, digest="d", **facts)


def evaluation(top1: float) -> Evaluation:
    about = {"dataset": "d", "split": "test", "images": 10, "clips": 5, "interval": (0.8, 1.0), "classes": [], "confusion": []}
    return Evaluation(metrics={"top1": top1}, **about)


def parity(**changes) -> ParityFigures:
    good = {"variant": "onnx", "images": 200, "top1_agreement": 1.0, "max_abs_diff": 1e-6, "mean_abs_diff": 1e-7}
    return ParityFigures(**(good | {"control_agreement": 0.1, "control_max_abs_diff": 0.9} | changes))


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: gate.kind)
def test_no_gate_lets_a_version_without_evidence_pass(gate: Gate) -> None:
    findings = gate.judge(evidence())
    assert findings
    assert not any(finding.passed for finding in findings)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_metric_passes_exactly_when_it_reaches_the_threshold(score: float, limit: float) -> None:
    (finding,) = MetricGate(at_least=limit).judge(evidence(evaluation=evaluation(score)))
    assert finding.passed == (score >= limit)
    assert finding.figure == score


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_no_number_fails(score: float) -> None:
    (finding,) = MetricGate().judge(evidence(evaluation=evaluation(score)))
    assert not finding.passed
    assert "not measured" in finding.text


def test_a_metric_nobody_measured_fails() -> None:
    (finding,) = MetricGate(name="macro_f1").judge(evidence(evaluation=evaluation(1.0)))
    assert not finding.passed


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, True),
        ({"top1_agreement": 0.98}, False),
        ({"max_abs_diff": 0.01}, False),
        ({"max_abs_diff": math.inf}, False),
        ({"top1_agreement": math.nan}, False),
        ({"images": 10}, False),
        ({"control_agreement": 1.0}, False),  # a wrong image must not agree, or nothing was measured
        ({"variant": "tfjs-float16", "max_abs_diff": 0.01}, True),
        ({"variant": "tfjs-float16", "max_abs_diff": 0.03}, False),
    ],
)
def test_parity_holds_each_variant_to_its_limits(changes: dict[str, object], passes: bool) -> None:
    findings = ParityGate().judge(evidence(parity=[parity(), parity(**changes)]))
    assert all(finding.passed for finding in findings) == passes


def test_latency_size_and_budget_say_their_figures() -> None:
    facts = evidence(latency=Latency(p50_ms=5, p95_ms=60, first_ms=200, requests=100), bundle_mb=12.5, train_usd=Decimal("0.5"))
    texts = [gate.judge(facts)[0].text for gate in (LatencyGate(p95_ms=50), SizeGate(max_mb=20), BudgetGate(train_usd=0.25))]
    assert texts == [
        "p95 60 ms is above 50 ms",
        "bundle 12.5 MB is at most 20 MB",
        "training cost 0.5 USD is above 0.25 USD",
    ]


def test_a_gate_is_pure() -> None:
    facts = evidence(evaluation=evaluation(0.95), parity=[parity()])
    for gate in GATES:
        assert gate.judge(facts) == gate.judge(facts)


@pytest.mark.parametrize(("required", "passes"), [(("onnx", "onnx-int8"), False), (("onnx",), True), (None, False)])
def test_a_variant_that_was_left_out_blocks_where_it_is_required(required: tuple[str, ...] | None, passes: bool) -> None:
    left = parity(variant="onnx-int8", top1_agreement=0.5, kept=False, note="agreement 0.500 is below 0.97")
    findings = ParityGate(variants=required).judge(evidence(parity=[parity(), left]))
    assert all(finding.passed for finding in findings) == passes
    assert "onnx-int8 is not in the bundle: agreement 0.500 is below 0.97" in [finding.text for finding in findings]


def test_a_required_variant_that_nobody_exported_blocks() -> None:
    findings = ParityGate(variants=("onnx", "tfjs-uint8")).judge(evidence(parity=[parity()]))
    assert [finding.text for finding in findings if not finding.passed] == [
        "tfjs-uint8 was not exported: run `modelyard export hand/1`"
    ]


def test_reduced_precision_is_held_to_what_it_was_exported_with() -> None:
    wide = parity(
        variant="onnx-int8", top1_agreement=0.975, max_abs_diff=0.2, limits=Limits(top1_agreement=0.97, max_abs_diff=0.3)
    )
    assert all(finding.passed for finding in ParityGate().judge(evidence(parity=[parity(), wide])))
    exact = wide.model_copy(update={"variant": "onnx"})
    assert sum(not finding.passed for finding in ParityGate().judge(evidence(parity=[exact]))) == 2


def test_a_detector_is_judged_by_its_map_and_mean_difference() -> None:
    good = parity(max_abs_diff=0.2, mean_abs_diff=4e-4, map_difference=0.001)
    assert all(finding.passed for finding in ParityGate().judge(evidence(parity=[good])))
    worse = good.model_copy(update={"map_difference": 0.05})
    (finding,) = [finding for finding in ParityGate().judge(evidence(parity=[worse])) if not finding.passed]
    assert finding.text == "onnx mAP difference 0.05 is above 0.01"


def test_limits_that_the_job_has_made_stricter_bind_what_was_exported_before() -> None:
    wide = parity(variant="onnx-int8", max_abs_diff=0.2, limits=Limits(top1_agreement=0.97, max_abs_diff=0.3))
    gate = ParityGate(limits={"onnx-int8": Limits(max_abs_diff=0.1)})
    assert [finding.text for finding in gate.judge(evidence(parity=[parity(), wide])) if not finding.passed] == [
        "onnx-int8 largest difference 0.2 is above 0.1"
    ]


def test_what_serves_is_required_whatever_a_gate_names() -> None:
    left = parity(kept=False, top1_agreement=0.2, note="agreement 0.200 is below 0.99")
    other = parity(variant="tfjs-float16")
    for figures in ([left, other], [other]):
        findings = ParityGate(variants=("tfjs-float16",)).judge(evidence(parity=figures))
        assert not all(finding.passed for finding in findings)
