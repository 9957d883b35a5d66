"""The reconciler settles: what was begun is found, what is refused is said once, and one model's trouble is its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from registry.errors import NotFoundError, RefusedError
from registry.events import HookDone, Promoted
from registry.lease import FileLeases
from registry.memory import MemoryLedger, MemoryStore
from registry.promotion.context import PromotionContext
from registry.promotion.due import View, needs_reconcile
from registry.promotion.promote import promote, rollback
from registry.promotion.reconcile import reconcile
from registry.promotion.state import TIDY, fold
from registry.promotion.verdict import judge
from registry.records import Actor, Evidence, Finding
from registry.refs import Ref
from registry.stages import Stage

ADA = Actor("ada", proven=True)


class Says:
    """A gate with one verdict for a stage's every version, and a hook that counts."""

    name = "count"

    def __init__(self, *, passed: bool = True, figure: float | None = None) -> None:
        self.passed, self.figure, self.judged, self.ran = passed, figure, 0, 0

    def judge(self, evidence: Evidence) -> list[Finding]:
        self.judged += 1
        return [Finding(gate="says", passed=self.passed, text="as told", figure=self.figure)]

    def run(self, promotion: Promoted) -> None:
        self.ran += 1


@pytest.fixture
def context(tmp_path: Path) -> PromotionContext:
    files = tmp_path / "files"
    files.mkdir()
    (files / "weights").write_text("1")
    store, says = MemoryStore(), Says()
    for _ in range(3):
        store.register("hand", files)
    both = dict.fromkeys((Stage.STAGING, Stage.PRODUCTION), (says,))
    return PromotionContext(store, MemoryLedger(), FileLeases(tmp_path / "leases"), both, both | {Stage.ARCHIVED: (says,)})


def in_production(context: PromotionContext, *numbers: int) -> None:
    for number in numbers:
        promote(context, Ref("hand", number), Stage.STAGING, ADA)
        promote(context, Ref("hand", number), Stage.PRODUCTION, ADA)


def look(context: PromotionContext) -> list[str]:
    view = View(context.ledger)
    view.refresh()
    return needs_reconcile(view, context.store.snapshot(), lambda _: context)


def rows(context: PromotionContext) -> int:
    return len(context.ledger.entries())


def test_a_settled_model_is_quiet_and_an_alias_that_moved_is_not(context: PromotionContext) -> None:
    in_production(context, 1)
    assert look(context) == []
    context.store.set_alias("hand", "production", 2)
    assert look(context) == ["hand"]


@pytest.mark.parametrize("step", ["set_alias", "delete_alias"])
def test_what_was_killed_in_the_middle_is_found_by_a_pass(
    context: PromotionContext, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the very first promotion, of which no alias tells yet."""
    if step == "delete_alias":
        promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    with monkeypatch.context() as crash:
        crash.setattr(context.store, step, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            promote(context, Ref("hand", 1), Stage.STAGING if step == "set_alias" else Stage.ARCHIVED, ADA)
    assert look(context) == ["hand"]
    reconcile(context, "hand")
    assert context.store.aliases("hand") == ({"staging": 1} if step == "set_alias" else {})
    assert look(context) == []


def test_a_promotion_whose_files_are_gone_is_undone(
    context: PromotionContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as crash:
        crash.setattr(context.store, "set_alias", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    (tmp_path / "files").rename(tmp_path / "gone")
    assert "undone: its files are gone" in reconcile(context, "hand").acted[0]
    assert reconcile(context, "hand").acted == []
    assert context.store.aliases("hand") == {}


def test_a_version_that_holds_both_aliases_unproven_is_blocked_twice_and_then_left_alone(context: PromotionContext) -> None:
    says = context.gates[Stage.STAGING][0]
    assert isinstance(says, Says)
    says.passed = False
    for alias in ("staging", "production"):
        context.store.set_alias("hand", alias, 2)
    assert len(reconcile(context, "hand").acted) == 2
    judged, before = says.judged, rows(context)
    for _ in range(3):
        assert reconcile(context, "hand").acted == []
    assert (says.judged, rows(context)) == (judged, before)


def test_the_policy_may_put_an_unproven_alias_back(context: PromotionContext) -> None:
    in_production(context, 1)
    says = context.gates[Stage.STAGING][0]
    assert isinstance(says, Says)
    says.passed = False
    strict = replace(context, revert=True)
    context.store.set_alias("hand", "production", 2)
    assert "put back from hand/2 to version 1" in str(reconcile(strict, "hand").acted)
    assert context.store.aliases("hand") == {"production": 1}
    context.store.set_alias("hand", "production", 2)
    reconcile(strict, "hand")
    assert context.store.aliases("hand") == {"production": 1}
    context.store.set_alias("hand", "Production", 1)
    reconcile(strict, "hand")
    assert context.store.aliases("hand") == {"production": 1}, "the wrong spelling goes, the right one stays"
    assert fold(context.ledger.entries("hand")).holders[Stage.PRODUCTION].identity[0] == 1


def test_going_back_passes_over_what_was_archived_unless_it_is_named(context: PromotionContext) -> None:
    in_production(context, 1, 2, 3)
    promote(context, Ref("hand", 2), Stage.ARCHIVED, ADA)
    assert rollback(context, "hand", Stage.PRODUCTION, None, ADA).promotion.version == 1
    assert rollback(context, "hand", Stage.PRODUCTION, 2, ADA).promotion.version == 2
    with pytest.raises(NotFoundError, match=r"was not in production before \(those that were: hand/1, hand/3\)"):
        rollback(context, "hand", Stage.PRODUCTION, 9, ADA)


def test_going_back_refuses_bytes_that_changed(context: PromotionContext, tmp_path: Path) -> None:
    in_production(context, 1, 2)
    (tmp_path / "files" / "weights").write_text("2")
    with pytest.raises(Exception, match="changed after it was ratified"):
        rollback(context, "hand", Stage.PRODUCTION, None, ADA)
    assert context.store.aliases("hand") == {"production": 2}


def test_a_version_that_is_gone_can_still_be_given_up(context: PromotionContext, tmp_path: Path) -> None:
    in_production(context, 1)
    store = context.store
    assert isinstance(store, MemoryStore)
    (tmp_path / "files").rename(tmp_path / "gone")
    promote(context, Ref("hand", 1), Stage.ARCHIVED, ADA)  # its bytes are gone
    assert fold(context.ledger.entries("hand")).holders == {}
    (tmp_path / "gone").rename(tmp_path / "files")
    in_production(context, 2)
    store.delete_model("hand")
    assert "is gone from MLflow" in reconcile(context, "hand").acted[0]
    promote(context, Ref("hand", 2), Stage.ARCHIVED, ADA)
    assert fold(context.ledger.entries("hand")).holders == {}
    assert reconcile(context, "hand").acted == []


def test_a_figure_that_is_not_a_number_fails_whatever_its_gate_says(context: PromotionContext) -> None:
    findings = judge([Says(figure=float("nan")), Says(figure=1.0)], Evidence(model="hand", version=1, created_ms=1, digest="d"))
    assert [finding.passed for finding in findings] == [False, True]
    broken = replace(context, gates={Stage.STAGING: (Says(figure=float("inf")),)})
    with pytest.raises(RefusedError, match="not a finite number"):
        promote(broken, Ref("hand", 1), Stage.STAGING, ADA)


def test_a_forged_end_of_a_hook_hides_nothing(context: PromotionContext) -> None:
    in_production(context, 1)
    ledger = context.ledger
    assert isinstance(ledger, MemoryLedger)
    holder = fold(ledger.entries("hand")).holders[Stage.PRODUCTION]
    ledger._rows = [row for row in ledger._rows if row.event.kind != "hook_done"]
    ledger.append(HookDone(**holder.promotion.subject, hook=TIDY, stage=Stage.PRODUCTION))
    ledger._rows[-1] = replace(ledger._rows[-1], flaw="it is not signed")
    assert look(context) == ["hand"]
