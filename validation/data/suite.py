"""What is expected of a data set, as a Great Expectations suite, and the report of checking it against that."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations import expectations as gxe
from great_expectations.core import ExpectationSuite
from great_expectations.data_context.types.base import ProgressBarsConfig

from registry.records import Finding
from validation.data.sentences import CheckedColumn, describe

_NAME = "frames"
_ERROR, _WARNING = "critical", "warning"


@dataclass(frozen=True, slots=True)
class DataReport:
    """The verdict: findings that stop the job, findings that warn, and where Data Docs were written."""

    errors: list[Finding]
    warnings: list[Finding]
    passed: list[Finding]
    docs: Path
    leaks: int = 0
    """Held-out pictures that an earlier split gives away."""
    leaked_share: float = 0.0
    """The share of the test split that is."""
    leak_errors: int = 0
    """How many of the errors are about leaks; none where the policy accepts them."""

    @property
    def holds(self) -> bool:
        """Whether nothing stops the job."""
        return not self.errors


def frame_suite(labels: list[str]) -> ExpectationSuite:
    """The expectations. `critical` ones stop a strict job, `warning` ones are for people to look at."""
    worst: dict[str, Any] = {"severity": _ERROR}
    mild: dict[str, Any] = {"severity": _WARNING}
    between = gxe.ExpectColumnValuesToBeBetween
    return ExpectationSuite(
        name=_NAME,
        expectations=[
            gxe.ExpectColumnValuesToNotBeNull(column="width", **worst),
            gxe.ExpectColumnValuesToBeInSet(column="label", value_set=labels, **worst),
            gxe.ExpectColumnDistinctValuesToEqualSet(column="label", value_set=labels, **worst),
            gxe.ExpectColumnValuesToBeInSet(column="split", value_set=["train", "val", "test"], **worst),
            between(column="splits_of_clip", max_value=1, **worst),
            between(column="splits_of_frame", max_value=1, **worst),
            between(column="labels_of_frame", max_value=1, **worst),
            between(column="width", min_value=32, **worst),
            between(column="height", min_value=32, **worst),
            between(column="brightness", min_value=8, max_value=247, mostly=0.98, **mild),
            between(column="sharpness", min_value=4, mostly=0.9, **mild),
            between(column="clips_of_class_in_split", min_value=3, **mild),
            gxe.ExpectColumnValuesToBeUnique(column="sha256", **mild),
        ],
    )


def check_frames(table: pd.DataFrame, labels: list[str], docs: Path) -> DataReport:
    """Check a frame table against the suite and write Data Docs (HTML) below `docs`."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context = gx.get_context(mode="file", project_root_dir=docs)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batches = context.data_sources.add_or_update_pandas(_NAME).add_dataframe_asset(_NAME)
    batch = batches.add_batch_definition_whole_dataframe(_NAME)
    suite = context.suites.add_or_update(frame_suite(labels))
    definition = context.validation_definitions.add_or_update(gx.ValidationDefinition(name=_NAME, data=batch, suite=suite))
    checkpoint = gx.Checkpoint(
        name=_NAME, validation_definitions=[definition], actions=[gx.checkpoint.UpdateDataDocsAction(name="docs")]
    )
    outcome = context.checkpoints.add_or_update(checkpoint).run(batch_parameters={"dataframe": table})
    results = [result for validation in outcome.run_results.values() for result in validation.results]
    findings = [_finding(result, table) for result in results]
    return DataReport(
        errors=[finding for finding, severity in findings if not finding.passed and _ERROR in severity.lower()],
        warnings=[finding for finding, severity in findings if not finding.passed and _ERROR not in severity.lower()],
        passed=[finding for finding, _ in findings if finding.passed],
        docs=_site(docs),
    )


def _finding(result: Any, table: pd.DataFrame) -> tuple[Finding, str]:
    """One expectation's result in our words, and how bad it is when it does not hold."""
    config = result.expectation_config
    limits = {key: value for key, value in config.kwargs.items() if key not in {"column", "batch_id"}}
    column, passed = str(config.kwargs["column"]), bool(result.success)
    text = describe(CheckedColumn(config.type, column, limits, table), passed=passed)
    figure = result.result.get("unexpected_count")
    return Finding(gate=f"data.{column}", passed=passed, text=text, figure=figure), str(config.severity)


def _site(docs: Path) -> Path:
    """Where Great Expectations put its HTML."""
    return next(docs.rglob("data_docs/local_site/index.html")).parent
