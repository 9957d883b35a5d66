"""Every check: a data set that passes it, one that it names, and what its level decides."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from checked_world import BROKEN, sound_data

from validation.data.catalogue import CHECKS, CheckLevels
from validation.data.findings import CheckFinding, DataReport
from validation.data.suite import RULES, applicable, check_data

INTERNALS = ("expect_", "min_value", "max_value", "column", "mostly", "value_set", "nan", "None", "unexpected")
ALSO = {
    "split-known": {"clip-leak"},
    "without-boxes": {"clips-per-split"},
    "class-names": {"duplicates", "label-conflict"},
}


def failed(report: DataReport) -> dict[str, CheckFinding]:
    return {finding.check: finding for finding in report.findings if not finding.passed}


@pytest.mark.parametrize("task", ["classify", "detect"])
def test_a_sound_data_set_passes_every_check_in_a_sentence(task: str, tmp_path: Path) -> None:
    report = check_data(sound_data(task), CheckLevels(), tmp_path)
    assert failed(report) == {}
    assert {finding.check for finding in report.findings} == {rule.check for rule in applicable(task, CheckLevels())}
    assert report.holds
    for finding in report.findings:
        assert not [word for word in INTERNALS if word in finding.text], finding.text


def test_every_check_of_the_catalogue_has_a_rule_and_a_broken_data_set() -> None:
    assert set(RULES) <= set(CHECKS)
    assert set(BROKEN) == set(RULES)


@pytest.mark.parametrize("check", BROKEN)
def test_each_check_names_what_it_is_about_and_no_other_check_does(check: str, tmp_path: Path) -> None:
    task, spoil, sentence = BROKEN[check]
    findings = failed(check_data(spoil(sound_data(task)), CheckLevels(), tmp_path))
    assert findings[check].text == sentence
    assert set(findings) - {check} <= ALSO.get(check, set())
    assert findings[check].figure is not None
    assert findings[check].limit is not None


@pytest.mark.parametrize("level", ["strict", "warn", "off"])
@pytest.mark.parametrize("check", BROKEN)
def test_the_level_of_each_check_decides_what_its_failure_comes_to(check: str, level: str, tmp_path: Path) -> None:
    task, spoil, _ = BROKEN[check]
    levels = CheckLevels("off", {check: level})
    if level == "off":
        assert applicable(task, levels) == []
        assert CheckLevels("strict", {check: level}).off == [check]
        return
    report = check_data(spoil(sound_data(task)), levels, tmp_path)
    assert [finding.check for finding in report.findings] == [check]
    assert [finding.outcome for finding in report.findings] == ["error" if level == "strict" else "warning"]
    verdict = report.verdict("d")
    assert (verdict.holds, verdict.errors, verdict.warnings) == (level == "warn", int(level == "strict"), int(level == "warn"))
    assert bool(report.stopping) == (level == "strict")
    assert verdict.off == [name for name in CHECKS if name != check]
    assert verdict.lowered == ([check] if level == "warn" and CHECKS[check].level == "strict" else [])
