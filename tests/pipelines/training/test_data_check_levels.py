"""What training does with the data checks: stops, goes on or proves nothing, as the job weighs them, and records it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.data.dataset import DataSet
from pipelines.job.jobfile import Job, parse_job
from pipelines.training.job import check_data
from registry.errors import RefusedError
from registry.records import Evidence
from validation.gates.data import DataGate


class Run:
    """A run of a tracker that keeps what it is given."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def dataset(self, *_: object) -> None:
        pass

    def metrics(self, values: dict[str, float]) -> None:
        self.kept |= values

    def folder(self, path: Path, name: str) -> None:
        assert (path / "index.html").is_file()


class Tracker:
    """One run."""

    def __init__(self) -> None:
        self.single = Run()

    @contextmanager
    def run(self, *_: object) -> Iterator[Run]:
        yield self.single


def job(checks: object) -> Job:
    return parse_job({"model": "digits", "train": [{"kind": "torch"}], "data": {"checks": checks}}, "job")


@pytest.fixture
def leaky(dataset: DataSet) -> DataSet:
    first, *others = dataset.manifest.frames
    moved = first.model_copy(update={"split": "val" if first.split != "val" else "train"})
    return DataSet(dataset.folder, dataset.manifest.model_copy(update={"frames": [moved, *others]}))


@pytest.mark.parametrize(
    ("checks", "stops", "passes", "words"),
    [
        ("strict", True, False, ""),
        ({"blur": "off"}, True, False, ""),
        ("warn", False, False, "is leaked"),
        ({"clip-leak": "warn", "leaks": "warn"}, False, False, "lowered to a warning: clip-leak"),
        ({"clip-leak": "off", "leaks": "warn"}, False, False, "not made: clip-leak"),
        ("off", False, False, "no data check was made"),
    ],
)
def test_training_stops_goes_on_or_proves_nothing(
    checks: object, stops: bool, passes: bool, words: str, leaky: DataSet, tmp_path: Path
) -> None:
    lines, tracker = list[str](), Tracker()
    if stops:
        with pytest.raises(RefusedError, match="more than one split"):
            check_data(job(checks), leaky, tmp_path / "r", tracker, lines.append)  # type: ignore[arg-type]
        return
    report = check_data(job(checks), leaky, tmp_path / "r", tracker, lines.append)  # type: ignore[arg-type]
    verdict = report.verdict("x")
    evidence = Evidence(model="digits", version=1, created_ms=1, digest="d", dataset="x", data=verdict)
    findings = DataGate().judge(evidence)
    assert all(finding.passed for finding in findings) == passes
    assert words in "; ".join(finding.text for finding in findings)
    assert tracker.single.kept["errors"] == verdict.errors
    assert any("off" in line for line in lines) == bool(verdict.off)
