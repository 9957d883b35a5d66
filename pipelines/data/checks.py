"""Checking a data set before anything is trained on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from pipelines.data.dataset import DataSet
from pipelines.data.leaks.checked import with_leaks
from pipelines.data.leaks.find import find_leaks
from pipelines.data.leaks.sheet import write_leaks
from registry.files import building, write_json
from validation.data.suite import DataReport, check_frames
from validation.data.table import CheckedFrame, frame_table

_SPREAD = ("brightness", "sharpness")
_BINS = 24


def check(data: DataSet, docs: Path, leaks: Literal["refuse", "allow"] = "refuse") -> DataReport:
    """Verify every byte against the manifest, hold the frames to the suite, and look for leaks across splits.

    Below `docs` land Data Docs (`site/`), leaked pictures beside those that give them away (`leaks/`), and `report.json` for
    whoever shows it otherwise: each finding, and how bright and how sharp the frames are. With `allow`, leaks are warnings.
    """
    data.verify()
    frames = (
        CheckedFrame(data.folder / row.file, row.sha256, row.clip, row.clip_sha256, row.label, row.split)
        for row in data.manifest.frames
    )
    table = frame_table(frames)
    with building(docs) as work:
        report = check_frames(table, data.manifest.labels, work / "project")
        report.docs.rename(work / "site")
        (work / "project").rename(work / "great_expectations")
        report = with_leaks(report, write_leaks(find_leaks(data), work / "leaks", data.folder), leaks)
        write_json(work / "report.json", _as_dict(report, table, data.manifest.digest))
    return replace(report, docs=docs / "site")


def _as_dict(report: DataReport, table: pd.DataFrame, digest: str) -> dict[str, Any]:
    by_outcome = {"error": report.errors, "warning": report.warnings, "holds": report.passed}
    findings = [{"outcome": name, "text": finding.text} for name, group in by_outcome.items() for finding in group]
    return {"dataset": digest, "findings": findings, "spread": {name: _spread(table[name]) for name in _SPREAD}}


def _spread(column: pd.Series) -> dict[str, list[float]]:
    """How many frames lie between which edges."""
    values = np.asarray(column, float)
    values = values[np.isfinite(values)]
    counts, edges = np.histogram(values, bins=_BINS) if len(values) else (np.zeros(0), np.zeros(0))
    return {"edges": edges.tolist(), "frames": counts.tolist()}
