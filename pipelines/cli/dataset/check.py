"""`check`: what the data checks say of a data set, and which checks there are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.options import JOB, DataFolder, HomeFolder, JobFile, chosen_dataset, datasets_of, job, open_home
from pipelines.cli.output import AsJson, answer, table

if TYPE_CHECKING:
    from pipelines.job.jobfile import Job
    from validation.data.catalogue import CheckLevels
    from validation.data.findings import DataReport

_PARTIAL = "partial"
"""Reports of some checks only lie in a folder of their own, where nobody takes them for the whole report."""
_SHOWN = {"error": "failed", "warning": "warning", "holds": "passed"}


def check(
    *,
    data: DataFolder = None,
    only: Annotated[
        list[str] | None, typer.Option("--check", metavar="NAME", help="Only this check; may be repeated.  [default: all]")
    ] = None,
    list_checks: Annotated[bool, typer.Option("--list", help="Show the checks that there are, and check nothing.")] = False,
    job_file: JobFile = JOB,
    home: HomeFolder = None,
    as_json: AsJson = False,
) -> None:
    """Check the data set with Great Expectations; exit 1 where a strict check fails. No job file is needed."""
    from validation.data.catalogue import CheckLevels

    the_job = None if job_file == JOB and not JOB.exists() else job(job_file)
    levels = the_job.data.check_levels if the_job else CheckLevels()
    if list_checks:
        _show_checks(levels, as_json=as_json)
        return
    chosen = _only(levels, only) if only else levels
    from pipelines.data.checks import check as check_data

    opened = open_home(home)
    datasets = datasets_of(opened)
    dataset = chosen_dataset(opened, data, job_file)
    folder = Path(_PARTIAL) / _model(the_job, dataset.name) if only else Path(_model(the_job, dataset.name))
    report = check_data(dataset, opened.settings.home / "reports" / folder, chosen, datasets)
    show_report(report, as_json=as_json, partial=bool(only))
    if report.failing:
        raise typer.Exit(1)


def _model(the_job: Job | None, otherwise: str = "") -> str:
    """Whose data set it is: the job's model, or the data set's own name where there is no job."""
    return the_job.model if the_job else otherwise


def _only(levels: CheckLevels, names: list[str]) -> CheckLevels:
    """The weights with which only these checks are made."""
    from registry.errors import InputError
    from validation.data.catalogue import check_names

    try:
        return levels.only(check_names(names))
    except ValueError as error:
        problem, _, remedy = str(error).partition("; ")
        raise InputError("--check", problem, remedy) from error


def show_report(report: DataReport, *, as_json: bool, partial: bool = False) -> None:
    """The data checks' verdict, and what was silenced."""
    findings = [*report.errors, *report.warnings, *report.passed]
    off = [] if partial else report.levels.off
    document = {
        "holds": report.holds,
        "errors": [finding.text for finding in report.errors],
        "warnings": [finding.text for finding in report.warnings],
        "passed": len(report.passed),
        "findings": [{"outcome": finding.outcome, **finding.model_dump(mode="json")} for finding in findings],
        "off": off,
        "lowered": report.levels.lowered,
        "leaks": report.leaks,
        "leaked_share": report.leaked_share,
        "docs": str(report.docs / "index.html"),
        "sheets": str(report.docs.parent / "sheets"),
    }
    answer(document, as_json=as_json)
    if as_json:
        return
    rows = [(finding.check, finding.level, _SHOWN[finding.outcome], finding.text) for finding in findings]
    table("data checks", ["check", "level", "result", "finding"], [*rows, *((name, "off", "not made", "") for name in off)])
    if report.levels.lowered:
        print(f"lowered to a warning: {', '.join(report.levels.lowered)}")
    print(f"report: {report.docs / 'index.html'}")
    print(f"contact sheets of the splits: {report.docs.parent / 'sheets'}")
    if report.leaks:
        print(f"leaks, side by side: {report.docs.parent / 'leaks' / 'index.html'}")


def _show_checks(levels: CheckLevels, *, as_json: bool) -> None:
    """Every check with what it asks for, its own level and the job's, and why not to silence it."""
    from validation.data.catalogue import CHECKS

    rows = [
        {
            "check": name,
            "default": check.level,
            "level": levels.of(name),
            "asks": check.asks,
            "why": check.why,
            "tasks": list(check.tasks),
        }
        for name, check in CHECKS.items()
    ]
    answer(rows, as_json=as_json)
    if not as_json:
        columns = ["check", "default", "level", "asks", "why"]
        headings = ["check", "default", "here", "what it asks for", "without it"]
        table(f"{len(rows)} data checks", headings, [[row[name] for name in columns] for row in rows])
