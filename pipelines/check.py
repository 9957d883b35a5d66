"""Checking a data set before anything is trained on it."""

from __future__ import annotations

from pathlib import Path

from pipelines.dataset import DataSet
from registry.files import building
from validation.data.suite import DataReport, check_frames
from validation.data.table import CheckedFrame, frame_table


def check(data: DataSet, docs: Path) -> DataReport:
    """Verify every byte against the manifest, then hold the frames to the suite; Data Docs land in `docs`."""
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
    return DataReport(report.errors, report.warnings, report.passed, docs / "site")
