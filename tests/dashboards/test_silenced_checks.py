"""The Data page shows each check by name with its level, and what was silenced; reports of older releases stay readable."""

from __future__ import annotations

import json
from pathlib import Path

from dashboards.datasets import findings_table, latest_report, outcome_of, silenced_of
from registry.files import write_json
from registry.records import DataVerdict

OLD = {"dataset": "d", "findings": [{"outcome": "warning", "text": "dark"}], "spread": {}}
NEW = {
    "dataset": "d",
    "findings": [{"outcome": "error", "check": "clip-leak", "level": "strict", "text": "1 clip is in more than one split"}],
    "off": ["blur"],
    "lowered": [],
    "spread": {},
}


def shown(home: Path, report: dict) -> list[list[str]]:
    write_json(home / "reports" / "hand" / "report.json", report)
    read = latest_report(home, "d")
    assert read is not None
    return json.loads(findings_table(read).to_json(orient="values"))


def test_checks_are_shown_by_name_and_level_and_those_that_are_off_too(tmp_path: Path) -> None:
    assert shown(tmp_path, NEW) == [
        ["failed", "clip-leak", "strict", "1 clip is in more than one split"],
        ["not made", "blur", "off", ""],
    ]
    assert shown(tmp_path, OLD) == [["warning", "dark"]]


def test_a_verdict_says_what_was_silenced() -> None:
    verdict = DataVerdict(dataset="d", holds=True, errors=0, warnings=0, off=["blur"], lowered=["clip-leak"])
    assert outcome_of(verdict) == "passed"
    assert silenced_of(verdict) == "Checks that are off: blur. Checks lowered to warnings: clip-leak."
    assert outcome_of(verdict.model_copy(update={"checked": False, "holds": False})) == "off"
    assert outcome_of(verdict.model_copy(update={"holds": False})) == "failed"
    assert outcome_of(None) == "not run"
    assert outcome_of(None, {"findings": [{"outcome": "holds"}]}) == "passed"
    assert outcome_of(None, {"findings": [{"outcome": "error", "text": "1 clip is in two splits"}]}) == "failed"
