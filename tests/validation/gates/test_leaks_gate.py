"""The data gate refuses a version whose test images are known from training, unless a policy on record allows it."""

from __future__ import annotations

import json

import pytest

from pipelines.job.jobfile import parse_job
from registry.records import DataVerdict, Evidence
from registry.stages import Stage
from validation.gates.data import DataGate

LEAKED = DataVerdict(dataset="x", holds=False, errors=2, warnings=0, leaks=31, leaked_share=0.31, leak_errors=2)


def judged(gate: DataGate, verdict: DataVerdict) -> tuple[bool, str]:
    findings = gate.judge(Evidence(model="hand", version=1, created_ms=1, digest="d", dataset="x", data=verdict))
    return all(finding.passed for finding in findings), "; ".join(finding.text for finding in findings)


def test_a_leaked_test_set_is_refused_by_default_and_the_share_is_in_the_sentence() -> None:
    passed, text = judged(DataGate(), LEAKED)
    assert not passed
    assert "31% of test are leaked" in text
    assert "modelyard data leaks" in text


def test_what_a_policy_allows_says_so() -> None:
    passed, text = judged(DataGate(leaks="allow"), LEAKED)
    assert passed
    assert "allowed by the policy: 31% of test are leaked" in text


def test_other_errors_than_leaks_are_not_allowed_with_them() -> None:
    assert not judged(DataGate(leaks="allow"), LEAKED.model_copy(update={"errors": 3}))[0]


def test_a_leaked_val_split_is_refused_too() -> None:
    verdict = DataVerdict(dataset="x", holds=True, errors=0, warnings=1, leaks=4)
    assert not judged(DataGate(), verdict)[0]
    assert "4 images of val are leaked" in judged(DataGate(), verdict)[1]


def test_a_verdict_of_an_older_release_has_no_leaks() -> None:
    old = json.dumps({"dataset": "x", "holds": True, "errors": 0, "warnings": 0})
    verdict = DataVerdict.model_validate_json(old)
    assert judged(DataGate(), verdict) == judged(DataGate(leaks="refuse"), verdict)
    assert judged(DataGate(), verdict)[0]


@pytest.mark.parametrize(
    ("own", "of_the_job", "counts"), [(None, "allow", "allow"), ("refuse", "allow", "refuse"), (None, None, "refuse")]
)
def test_the_gate_goes_by_the_job_unless_it_says_it_by_itself(own: str | None, of_the_job: str | None, counts: str) -> None:
    gate = {"kind": "data"} | ({"leaks": own} if own else {})
    data = {"leaks": of_the_job} if of_the_job else {}
    job = parse_job({"train": [{"kind": "torch"}], "data": data, "gates": {"staging": [gate]}}, "job")
    assert [gate.leaks for gate in job.gates_of(Stage.STAGING) if isinstance(gate, DataGate)] == [counts]
