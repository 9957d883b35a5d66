"""Checking a data set before anything is trained on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipelines.data.catalog import DatasetCatalog
from pipelines.data.dataset import SPLITS, DataSet, FrameRow
from pipelines.data.leaks.checked import LEAKS, UNCLEAR, leak_findings
from pipelines.data.leaks.find import find_leaks
from pipelines.data.leaks.known import known_leaks
from pipelines.data.leaks.report import HELD_OUT
from pipelines.data.leaks.sheet import write_leaks
from pipelines.data.sheets import write_sheet
from registry.errors import InputError
from registry.files import building, write_atomic, write_json
from validation.data.catalogue import CheckLevels
from validation.data.findings import CheckFinding, DataReport
from validation.data.suite import applicable, check_data
from validation.data.table import CheckedBox, CheckedData, CheckedFrame, box_table, frame_table

_SPREAD = ("brightness", "sharpness")
_BINS = 24
_NO_CHECKS = b"<!doctype html><title>Data checks</title><p>No data check was made: all are off.</p>"


def check(data: DataSet, docs: Path, levels: CheckLevels | None = None, datasets: DatasetCatalog | None = None) -> DataReport:
    """Verify every byte against the manifest, then make the checks that are not off.

    Below `docs` land Data Docs (`site/`), a contact sheet of each split (`sheets/`), leaked pictures beside those that give
    them away (`leaks/`), and `report.json` for whoever shows it otherwise: each finding, what is off or lowered, and how
    bright and how sharp the frames are. `datasets` remember what leaks, which takes longest. Raises InputError for a data set
    without frames.
    """
    levels = levels or CheckLevels()
    if not data.manifest.frames:
        raise InputError(data.folder, "has no frames", "make the data set again with `modelyard frames`")
    data.verify()
    with building(docs) as work:
        checked = as_checked(data) if applicable(data.manifest.task, levels) else None
        findings = _with_great_expectations(checked, levels, work) if checked else []
        if not checked:
            write_atomic(work / "site" / "index.html", _NO_CHECKS)
        report = _with_leaks(DataReport(findings, levels, docs / "site"), data, work / "leaks", datasets)
        for split in SPLITS:
            if data.rows(split):
                write_sheet(data, split, work / "sheets" / f"{split}.png")
        write_json(work / "report.json", _as_dict(report, checked, data.manifest.digest))
    return report


def _with_leaks(report: DataReport, data: DataSet, folder: Path, datasets: DatasetCatalog | None) -> DataReport:
    """The same with what leaks across splits; pairs of pictures in a folder."""
    levels = report.levels
    if levels.of(LEAKS) == levels.of(UNCLEAR) == "off":
        return report
    leaks = known_leaks(datasets, data) if datasets else find_leaks(data)
    write_leaks(leaks, folder, data.folder)
    count = sum(len(leaks.leaked(split)) for split in HELD_OUT)
    findings = [*report.findings, *leak_findings(leaks, levels)]
    return DataReport(findings, levels, report.docs, count, round(leaks.share(), 6))


def _with_great_expectations(checked: CheckedData, levels: CheckLevels, work: Path) -> list[CheckFinding]:
    """The findings; below `work` its project, and the pages it made of them in `site`."""
    made = check_data(checked, levels, work / "project")
    made.docs.rename(work / "site")
    (work / "project").rename(work / "great_expectations")
    return list(made.findings)


def as_checked(data: DataSet) -> CheckedData:
    """A data set as the checks see it: its pictures measured, each decoded once."""
    manifest = data.manifest
    frames = [_frame(data, row) for row in manifest.frames]
    dealt = {"val": manifest.split.val, "test": manifest.split.test} if manifest.split_from == "dealt" else {}
    return CheckedData(
        labels=manifest.labels,
        frames=frame_table(frames),
        boxes=box_table(frames),
        task=manifest.task,
        source=manifest.source,
        groups_known=manifest.groups == "known",
        shares=dealt,
    )


def _frame(data: DataSet, row: FrameRow) -> CheckedFrame:
    boxes = None if row.boxes is None else [CheckedBox(b.label, b.left, b.top, b.right, b.bottom) for b in row.boxes]
    identity = (data.folder / row.file, row.sha256, row.clip, row.clip_sha256, row.label, row.split)
    return CheckedFrame(*identity, row.width, row.height, boxes)


def _as_dict(report: DataReport, checked: CheckedData | None, digest: str) -> dict[str, Any]:
    by_outcome = (*report.errors, *report.warnings, *report.passed)
    findings = [{"outcome": finding.outcome, **finding.model_dump(mode="json")} for finding in by_outcome]
    spread = {} if checked is None else {name: _spread(checked.frames[name]) for name in _SPREAD}
    silenced = {"off": report.levels.off, "lowered": report.levels.lowered}
    return {"dataset": digest, "findings": findings, **silenced, "spread": spread}


def _spread(column: pd.Series) -> dict[str, list[float]]:
    """How many frames lie between which edges."""
    values = np.asarray(column, float)
    values = values[np.isfinite(values)]
    counts, edges = np.histogram(values, bins=_BINS) if len(values) else (np.zeros(0), np.zeros(0))
    return {"edges": edges.tolist(), "frames": counts.tolist()}
