"""A data set checked with Great Expectations: each rule is an expectation, each result a sentence, Data Docs the report."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations import expectations as gxe
from great_expectations.core import ExpectationSuite
from great_expectations.data_context.types.base import ProgressBarsConfig

from registry.errors import InputError, ModelyardError, shorten
from validation.data import rules_of_boxes, rules_of_classes, rules_of_pictures, rules_of_splits, shift
from validation.data.catalogue import CHECKS, CheckLevels
from validation.data.findings import CheckFinding, DataReport
from validation.data.rule import Rule
from validation.data.table import CheckedData

_NAME = "frames"
_SEVERITY = {"strict": "critical", "warn": "warning"}
RULES: dict[str, Rule] = {
    rule.check: rule
    for rules in (rules_of_splits, rules_of_pictures, rules_of_classes, shift, rules_of_boxes)
    for rule in rules.RULES
}


@dataclass(frozen=True, slots=True)
class Measured:
    """A rule with its figures for a data set, the share that may fail, and the sentence for either outcome."""

    rule: Rule
    figures: pd.Series
    tolerated: float
    text: str
    figure: float | None
    """How many pictures fail; for a rule about the whole, its worst figure."""


def applicable(task: str, levels: CheckLevels) -> list[Rule]:
    """The rules for such a data set that are not off, in the catalogue's order."""
    names = [name for name, check in CHECKS.items() if name in RULES and task in check.tasks and levels.of(name) != "off"]
    return [RULES[name] for name in names]


def _measure(rule: Rule, data: CheckedData) -> Measured:
    figures = rule.measure(data)
    outside = rule.outside(figures)
    tolerated = rule.tolerated(data, outside)
    passed = not outside.any() or float(outside[figures.notna()].mean()) <= tolerated
    text = rule.passing(data) if passed else rule.failing(data, data.frames[outside].assign(figure=figures[outside]))
    worst = figures.min() if rule.least is not None else figures.max()
    figure = float(worst) if rule.whole else float(outside.sum())
    return Measured(rule, figures, tolerated, text, figure if pd.notna(figure) else None)


def check_data(data: CheckedData, levels: CheckLevels, docs: Path) -> DataReport:
    """Check a data set and write Data Docs (HTML) below `docs`."""
    measured = [_measure(rule, data) for rule in applicable(data.task, levels)]
    table = pd.DataFrame({each.rule.check: each.figures for each in measured})
    table.insert(0, "file", data.frames["file"])
    expectations = [_expectation(each, _SEVERITY[levels.of(each.rule.check)]) for each in measured]
    try:
        results = {str(result.expectation_config.kwargs["column"]): result for result in _run(table, expectations, docs)}
    except (OSError, ModelyardError):
        raise
    except Exception as error:
        problem = f"Great Expectations stopped ({type(error).__name__}: {shorten(error, 200)})"
        raise InputError("data checks", problem, "run `modelyard check` again; if it stays, please report it") from error
    findings = [_finding(each, results.get(each.rule.check), levels) for each in measured]
    return DataReport(findings, levels, _site(docs))


def _expectation(measured: Measured, severity: str) -> gxe.Expectation:
    """The rule as Great Expectations evaluates and shows it: with our sentence in place of its own words."""
    rule = measured.rule
    return gxe.ExpectColumnValuesToBeBetween(
        column=rule.check,
        min_value=rule.least,
        max_value=rule.most,
        mostly=1 - measured.tolerated,
        severity=severity,  # pyright: ignore[reportArgumentType]
        description=measured.text,
    )


def _run(table: pd.DataFrame, expectations: Sequence[gxe.Expectation], docs: Path) -> Iterator[Any]:
    """Evaluate the expectations on the table and write Data Docs; each result."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context = gx.get_context(mode="file", project_root_dir=docs)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batches = context.data_sources.add_or_update_pandas(_NAME).add_dataframe_asset(_NAME)
    batch = batches.add_batch_definition_whole_dataframe(_NAME)
    suite = context.suites.add_or_update(ExpectationSuite(name=_NAME, expectations=list(expectations)))
    definition = context.validation_definitions.add_or_update(gx.ValidationDefinition(name=_NAME, data=batch, suite=suite))
    checkpoint = gx.Checkpoint(
        name=_NAME, validation_definitions=[definition], actions=[gx.checkpoint.UpdateDataDocsAction(name="docs")]
    )
    outcome = context.checkpoints.add_or_update(checkpoint).run(batch_parameters={"dataframe": table})
    return (result for validation in outcome.run_results.values() for result in validation.results)


def _finding(measured: Measured, result: Any, levels: CheckLevels) -> CheckFinding:
    """What Great Expectations decided, in our words; a check that it could not make has failed."""
    name, rule = measured.rule.check, measured.rule
    fields: dict[str, Any] = {"check": name, "level": levels.of(name)}
    problem = _problem(result)
    if problem is not None:
        text = f"the check {name} was not completed ({problem}): run `modelyard check --check {name}` again"
        return CheckFinding(**fields, passed=False, text=text)
    return CheckFinding(**fields, passed=bool(result.success), text=measured.text, figure=measured.figure, limit=rule.limit)


def _problem(result: Any) -> str | None:
    """Why an expectation was not evaluated; None where it was."""
    if result is None:
        return "it has no result"
    raised = dict(result.exception_info or {})
    problems = [raised] if "raised_exception" in raised else [info for info in raised.values() if isinstance(info, dict)]
    for info in problems:
        if info.get("raised_exception"):
            return shorten(info.get("exception_message") or "an error without a message", 200)
    return None


def _site(docs: Path) -> Path:
    """Where Great Expectations put its HTML."""
    return next(docs.rglob("data_docs/local_site/index.html")).parent
