"""The data gate and the checks that a job silenced: what was not looked at is said, and nothing at all proves nothing."""

from __future__ import annotations

from typing import Any

import pytest

from registry.records import DataVerdict, Evidence, Finding
from validation.data.catalogue import CHECKS
from validation.gates.data import DataGate

EVIDENCE: dict[str, Any] = {"model": "hand", "version": 1, "created_ms": 1, "digest": "d", "dataset": "x"}


def judged(**fields: Any) -> Finding:
    verdict = DataVerdict(**{"dataset": "x", "holds": True, "errors": 0, "warnings": 0, "leaks": 0, **fields})
    return DataGate().judge(Evidence(**EVIDENCE, data=verdict))[0]


def test_a_row_of_an_older_release_says_nothing_of_silenced_checks() -> None:
    old = DataVerdict.model_validate({"dataset": "x", "holds": True, "errors": 0, "warnings": 2})
    assert (old.checked, old.off, old.lowered) == (True, [], [])
    assert judged().text == "failed data checks 0 is at most 0"


def test_what_an_older_release_checked_passes_and_the_gate_says_that_leaks_were_not_looked_for() -> None:
    old = DataVerdict.model_validate({"dataset": "x", "holds": True, "errors": 0, "warnings": 2})
    findings = DataGate().judge(Evidence(**EVIDENCE, data=old))
    assert [finding.passed for finding in findings] == [True]
    assert findings[0].text.endswith("(leaks were not looked for: an older release checked the data)")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"off": ["blur"]}, "(not made: blur)"),
        ({"lowered": ["clip-leak"]}, "(lowered to a warning: clip-leak)"),
        ({"off": ["blur", "size"], "lowered": ["readable"]}, "(not made: blur, size; lowered to a warning: readable)"),
    ],
)
def test_what_was_silenced_is_in_the_gates_sentence(fields: dict[str, list[str]], words: str) -> None:
    finding = judged(**fields)
    assert finding.passed
    assert finding.text == f"failed data checks 0 is at most 0 {words}"
    assert words in judged(**fields, errors=1, holds=False).text


def test_the_sentence_stays_short_however_many_are_off() -> None:
    assert len(judged(off=list(CHECKS)).text) < 400


def test_with_no_check_made_the_gate_has_nothing_to_judge() -> None:
    finding = judged(checked=False, holds=False, off=list(CHECKS))
    assert not finding.passed
    assert "no data check was made" in finding.text
    assert "train it again" in finding.text
