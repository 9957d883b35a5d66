"""A key that is not set where `modelyard up` runs, as the command line tells of it: once, and not as a failure."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import typer

from pipelines.cli.app import run as run_command
from pipelines.cli.promotion import show_outcome
from pipelines.deployment.outages import read_outages
from pipelines.queries.status import Row
from pipelines.queries.waiting import Waiting
from registry.events import HookFailed, Promoted, now
from registry.files import write_json
from registry.promotion.context import Outcome
from registry.stages import Stage

REASON = "`modelyard up` runs without RUNPOD_API_KEY: stop it, and start it again where that is set"


def row(ref: str, stage: Stage) -> Row:
    waits = (Waiting(what="runpod", stage=stage, reason=REASON, until=None),)
    return Row(ref=ref, stage=stage, trainer="torch", top1=0.9, endpoint="https://e", note=None, waits=waits)


def test_status_tells_of_it_once_however_many_versions_it_concerns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row("hand/2", Stage.STAGING), row("hand/1", Stage.PRODUCTION), row("foot/1", Stage.PRODUCTION)]
    monkeypatch.setattr("pipelines.queries.status.status", lambda *_: rows)
    monkeypatch.setattr("pipelines.home.Home.store", lambda _: None)
    (tmp_path / "ledger.db").touch()
    with pytest.raises(SystemExit) as left:
        run_command(["status", "--home", str(tmp_path)])
    shown = capsys.readouterr().out
    assert left.value.code == 0
    assert shown.count(REASON) == 1
    assert "waits until" not in shown
    assert "failed" not in shown


def test_a_promotion_whose_deployment_was_not_tried_says_where_the_key_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    subject: dict[str, Any] = {"model": "hand", "version": 1, "created_ms": 1, "digest": "d", "stage": Stage.PRODUCTION}
    promotion = Promoted(**subject, previous=None, actor="ada", findings=[])
    failed = HookFailed(**subject, hook="deploy", attempt=0, reason="RUNPOD_API_KEY: is not set; set it")
    with pytest.raises(typer.Exit):
        show_outcome(Outcome(promotion, [failed]), as_json=False)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "RUNPOD_API_KEY" in line]
    assert line.endswith("the reconciler of `modelyard up` does it where that is set: start `modelyard up` with it")
    assert "attempt" not in line


def test_what_is_written_for_others_is_read_back_and_an_older_home_s_file_too(tmp_path: Path) -> None:
    soon = (now() + timedelta(minutes=1)).isoformat()
    older = {"kind": "huggingface", "owner": "me", "reason": "does not answer", "failures": 1, "until": soon}
    write_json(tmp_path / "outages.json", [older, older | {"failures": 0, "variable": "HF_TOKEN"}])
    assert [outage.variable for outage in read_outages(tmp_path / "outages.json", now())] == ["", "HF_TOKEN"]
