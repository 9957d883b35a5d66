"""What waits and its fix, and the Registry page that shows it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import typer
from worlds import entries_of, fill, page

from dashboards.decisions import policy_table
from pipelines.cli.app import app
from registry.events import Approved, Blocked, PolicySet, Promoted, Refused, Undone, about
from registry.opening import ledger_of
from registry.records import Finding, ModelVersion
from registry.reports.attention import _COMMAND_BY_GATE, needs_attention, remedy
from registry.settings import Settings
from registry.stages import Stage


def test_what_was_promoted_and_never_came_to_its_alias_waits_until_it_is_undone(tmp_path: Path) -> None:
    fill(tmp_path)
    ledger, third = ledger_of(Settings(home=tmp_path)), about(ModelVersion("hand", 10, 10), "d")
    ledger.append(Promoted(**third, stage=Stage.STAGING, previous=2, actor="ada", findings=[]))
    assert [(item.ref, item.command) for item in needs_attention(entries_of(tmp_path))] == [("hand/10", "modelyard reconcile")]
    ledger.append(Undone(**third, stage=Stage.STAGING, reason="meanwhile"))
    assert needs_attention(entries_of(tmp_path)) == []


def test_a_command_that_is_shown_is_safe_to_paste(tmp_path: Path) -> None:
    fill(tmp_path, "a; rm -rf ~")
    third = about(ModelVersion("a; rm -rf ~", 10, 10), "d")
    ledger_of(Settings(home=tmp_path)).append(Blocked(**third, stage=Stage.STAGING, reason="unproven"))
    assert needs_attention(entries_of(tmp_path))[0].command == "modelyard promote 'a; rm -rf ~/10' staging"


def test_every_command_that_a_page_offers_is_one_that_can_be_run(tmp_path: Path) -> None:
    fill(tmp_path)
    version, command = about(ModelVersion("hand", 10, 10), "d"), typer.main.get_command(app)
    offered = [
        remedy(Refused(**version, stage=Stage.PRODUCTION, actor="a", findings=[Finding(gate=gate, passed=False, text="x")]))
        for gate in (*_COMMAND_BY_GATE, "of another package")
    ]
    offered += ["modelyard reconcile", "modelyard promote hand/1 staging", "modelyard rollback hand --stage production"]
    offered += [
        "modelyard budget show hand",
        'modelyard budget override hand --reason "…"',
        "modelyard canary status hand@production",
    ]
    for line in offered:
        called, words = command, shlex.split(line)[1:]
        while hasattr(called, "commands"):
            called = called.commands[words.pop(0)]
        called.make_context(called.name, words)


def test_the_registry_page_has_versions_gates_history_parity_and_approvals(home: Path) -> None:
    fill(home)
    fill(home, "face")
    ledger_of(Settings(home=home)).append(
        Approved(**about(ModelVersion("hand", 2, 2), "d"), stage=Stage.PRODUCTION, actor="eve", proven=True)
    )
    shown = page("registry")
    assert not shown.exception
    versions, matrix, gates, evidence, history, parity, approvals = (frame.value for frame in shown.dataframe)
    assert list(versions["version"]) == ["face/10", "face/2", "face/1", "hand/10", "hand/2", "hand/1"]
    assert list(versions["stage"]) == ["none", "production", "none"] * 2
    assert len(matrix) == 6
    assert len(gates) == 6
    assert list(gates[["figure", "limit"]].iloc[-1]) == [0.8, 0.9]
    assert len(evidence) == 0, "nothing of what a test writes rests on any"
    assert "refused" in set(history["what"])
    assert list(parity["agreement"]) == [1.0, 1.0]
    assert list(approvals["who"]) == ["eve"]
    shown.selectbox[0].set_value("hand").run()
    assert set(shown.dataframe[0].value["version"]) == {"hand/10", "hand/2", "hand/1"}
    shown.toggle[0].set_value(True).run()
    assert list(shown.dataframe[2].value["finding"]) == ["top1 0.8 is below 0.9"]


def test_a_refused_version_is_pending_with_the_command_that_fixes_it(home: Path) -> None:
    fill(home)
    assert len(page("registry").dataframe) == 7  # version 1 gave way to version 2: that is history
    findings = [Finding(gate="approval", passed=False, text="nobody approved it")]
    third = about(ModelVersion("hand", 10, 10), "d")
    ledger_of(Settings(home=home)).append(Refused(**third, stage=Stage.PRODUCTION, actor="ada", findings=findings))
    table = page("registry").dataframe[0].value
    assert list(table["command"]) == ["modelyard approve hand/10 --stage production"]
    assert list(table["what"]) == ["refused: nobody approved it"]


def test_a_change_of_the_policy_is_read_on_the_page_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELYARD_HOME", str(tmp_path))
    fill(tmp_path)
    ledger = ledger_of(Settings(home=tmp_path))
    pinned = {"policy": {"set_by": ["ada"]}}
    change = "production: metric top1 at_least 0.90 → 0.70"
    ledger.append(PolicySet(model="hand", actor="ada", proven=True, job=pinned, policy_hash="p", changes=[change]))
    ledger.append(PolicySet(model="hand", actor="eve", job={}, policy_hash="q", changes=["gate parity removed"]))
    table = policy_table(entries_of(tmp_path))
    assert list(table["counts"]) == ["no", "yes"]
    assert table["change"][1] == change
    assert "does not count: the policy before it may be followed only by one of ada" in table["change"][0]
    shown = page("registry")
    assert any(change in str(frame.value.to_dict()) for frame in shown.dataframe)
