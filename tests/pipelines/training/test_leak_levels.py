"""Leaks of every certain kind by what the job says of them: training goes on or stops; the gate refuses, or they are allowed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipelines.data.dataset import DataSet
from pipelines.job.jobfile import Job, parse_job
from pipelines.training.job import check_data
from registry.errors import RefusedError
from registry.records import DataVerdict, Evidence
from registry.stages import Stage
from validation.gates.data import DataGate

sys.path.insert(0, str(Path(__file__).parents[1] / "data" / "leaks"))
from leaky_sets import CLEAN, Shot, frame, room, takes, write_set

KINDS = ("clean", "bytes", "clip", "scene")
CHECKS = (
    "strict",
    "warn",
    {"leaks": "warn"},
    {"leaks": "off"},
    {"leaks": "off", "leaks-unclear": "off"},
    {"leaks": "off", "leaks-unclear": "off", "clip-leak": "warn", "copies-across-splits": "warn"},
)
SILENT = {"default": "off", "leaks": "strict", "clip-leak": "strict", "copies-across-splits": "strict"}


class Run:
    """A run that takes whatever it is given."""

    def __getattr__(self, _: str) -> Any:
        return lambda *_: None


class Tracker:
    """One run."""

    @contextmanager
    def run(self, *_: object) -> Any:
        yield Run()


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataSet]:
    root = tmp_path_factory.mktemp("sets")
    return {kind: _set(root / kind, kind) for kind in KINDS}


def _set(folder: Path, kind: str) -> DataSet:
    scenes = dict(CLEAN)
    if kind in {"clip", "scene"}:
        scenes = {**CLEAN, "test": [0, 1, 2, 3]}
    shots = takes(scenes)
    if kind == "bytes":
        first = next(shot for shot in shots if shot.split == "train")
        shots.append(Shot("test", first.label, "copy.jpg", first.image, "another"))
    if kind == "scene":
        shots = [shot for shot in shots if shot.split != "test"]
        rooms = [(number, index) for number in range(4) for index in range(6)]
        shots += [
            Shot(
                "test",
                "ab"[number % 2],
                f"t{number}-{index}.jpg",
                frame(room(number), 77_000 + 100 * number + index),
                f"t{number}",
            )
            for number, index in rooms
        ]
    return write_set(folder, shots, groups="known", source="clips")


def job_of(checks: object, leaks: str) -> Job:
    document = {"model": "hand", "train": [{"kind": "torch"}], "data": {"checks": checks, "leaks": leaks}}
    return parse_job(document | {"gates": {"staging": [{"kind": "data"}]}}, "job")


def judged(job: Job, verdict: DataVerdict) -> tuple[bool, str]:
    gate = next(gate for gate in job.gates_of(Stage.STAGING) if isinstance(gate, DataGate))
    recorded = DataVerdict.model_validate_json(verdict.model_dump_json())
    findings = gate.judge(Evidence(model="hand", version=1, created_ms=1, digest="d", dataset="x", data=recorded))
    return all(finding.passed for finding in findings), "; ".join(finding.text for finding in findings)


def verdict_of(job: Job, data: DataSet, folder: Path, say: Callable[[str], None] = lambda _: None) -> DataVerdict | None:
    """What training records; None where it stops."""
    try:
        return check_data(job, data, folder / "report", Tracker(), say).verdict("x")  # type: ignore[arg-type]
    except RefusedError:
        return None


@pytest.mark.parametrize("checks", CHECKS, ids=str)
@pytest.mark.parametrize("kind", KINDS[1:])
def test_no_leak_passes_the_gate_unless_the_policy_allows_it(
    kind: str, checks: Any, sets: dict[str, DataSet], tmp_path: Path
) -> None:
    job = job_of(checks, "refuse")
    verdict = verdict_of(job, sets[kind], tmp_path)
    assert verdict is None or not judged(job, verdict)[0]


@pytest.mark.parametrize(
    ("kind", "checks", "leaks", "trains"),
    [
        ("scene", "strict", "refuse", True),
        ("scene", {"blur": "off"}, "refuse", True),
        ("scene", {"leaks": "strict"}, "refuse", False),
        ("scene", {"leaks": "strict"}, "allow", True),
        ("clip", "strict", "refuse", False),
        ("bytes", "strict", "refuse", False),
        ("bytes", "strict", "allow", True),
    ],
)
def test_a_scene_in_two_splits_stops_no_training_unless_the_job_says_so(
    kind: str, checks: Any, leaks: str, trains: bool, sets: dict[str, DataSet], tmp_path: Path
) -> None:
    lines = list[str]()
    job = job_of(checks, leaks)
    verdict = verdict_of(job, sets[kind], tmp_path, lines.append)
    assert (verdict is not None) == trains
    alarms = [line for line in lines if line.startswith("LEAK: ")]
    if verdict is None:
        assert not alarms
        return
    assert len(alarms) == 1
    assert "of test are leaked" in alarms[0]
    assert judged(job, verdict)[0] == (leaks == "allow")
    assert ("`data` will refuse" in alarms[0]) == (leaks == "refuse")
    assert ("`data.leaks: allow` allows" in alarms[0]) == (leaks == "allow")


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("checks", ["strict", SILENT], ids=["strict", "leaks alone"])
def test_what_the_policy_allows_stops_nothing_and_is_said(
    kind: str, checks: Any, sets: dict[str, DataSet], tmp_path: Path
) -> None:
    job = job_of(checks, "allow")
    verdict = verdict_of(job, sets[kind], tmp_path)
    assert verdict is not None
    assert verdict.leaks
    passed, text = judged(job, verdict)
    assert passed, text
    assert "allowed by the policy" in text
    assert verdict.lowered == ["clip-leak", "copies-across-splits", "leaks"]


def test_a_gate_that_allows_leaks_by_itself_counts_none_of_their_errors(sets: dict[str, DataSet], tmp_path: Path) -> None:
    verdict = verdict_of(job_of("warn", "refuse"), sets["bytes"], tmp_path)
    assert verdict is not None
    assert verdict.leak_errors == verdict.errors > 1
    evidence = Evidence(model="hand", version=1, created_ms=1, digest="d", dataset="x", data=verdict)
    assert all(finding.passed for finding in DataGate(leaks="allow").judge(evidence))
    assert not all(finding.passed for finding in DataGate().judge(evidence))


def test_a_clean_set_passes_and_nothing_is_said_of_leaks(sets: dict[str, DataSet], tmp_path: Path) -> None:
    job = job_of("strict", "refuse")
    verdict = verdict_of(job, sets["clean"], tmp_path)
    assert verdict is not None
    assert verdict.leaks == 0
    assert judged(job, verdict) == (True, "failed data checks 0 is at most 0")
