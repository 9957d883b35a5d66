"""What is lost is said once, and no longer once it is back, given up or followed by another version."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import ModelyardError
from registry.events import Lost, Regained
from registry.lease import FileLeases
from registry.memory import MemoryLedger, MemoryStore
from registry.promotion.context import PromotionContext
from registry.promotion.due import View, needs_reconcile
from registry.promotion.promote import promote
from registry.promotion.reconcile import reconcile
from registry.promotion.state import fold
from registry.records import Actor, Evidence, Finding, ModelVersion
from registry.refs import Ref
from registry.stages import Stage

ADA = Actor("ada", proven=True)


class Passes:
    """A gate that lets everything pass."""

    def judge(self, evidence: Evidence) -> list[Finding]:
        return [Finding(gate="passes", passed=True, text="as told")]


class HidingStore(MemoryStore):
    """A registry whose model, or a version of it, comes and goes, as by a tag, a rename or a restored database."""

    hidden_model = False
    hidden: int | None = None

    def versions(self, model: str) -> list[ModelVersion]:
        versions = super().versions("nothing" if self.hidden_model else model)
        return [version for version in versions if version.version != self.hidden]

    def snapshot(self) -> dict:
        return {} if self.hidden_model else super().snapshot()


def make(folder: Path) -> tuple[PromotionContext, HidingStore]:
    (folder / "files").mkdir()
    (folder / "files" / "weights").write_text("1")
    store = HidingStore()
    for _ in range(2):
        store.register("hand", folder / "files")
    gates = dict.fromkeys((Stage.STAGING, Stage.PRODUCTION), (Passes(),))
    return PromotionContext(store, MemoryLedger(), FileLeases(folder / "leases"), gates, {}), store


def lost(context: PromotionContext) -> dict[Stage, Lost]:
    return fold(context.ledger.entries("hand")).lost


@pytest.mark.parametrize("hide", [lambda store, on: setattr(store, "hidden_model", on), lambda store, on: setattr(store, "hidden", 1 if on else None)])  # fmt: skip
def test_what_is_back_is_lost_no_more_and_its_pass_is_quiet(tmp_path: Path, hide: Callable[[HidingStore, bool], None]) -> None:
    context, store = make(tmp_path)
    for stage in (Stage.STAGING, Stage.PRODUCTION):
        promote(context, Ref("hand", 1), stage, ADA)
    for _ in range(2):
        hide(store, True)
        assert "is lost" in reconcile(context, "hand").acted[0]
        assert reconcile(context, "hand").acted == []
        assert set(lost(context)) == {Stage.PRODUCTION}
        hide(store, False)
        assert reconcile(context, "hand").acted == ["hand/1, which holds 'production', is in MLflow again"]
        assert (lost(context), reconcile(context, "hand").acted) == ({}, [])
    view = View(context.ledger)
    view.refresh()
    assert needs_reconcile(view, store.snapshot(), lambda _: context) == []
    kinds = [type(row.event) for row in context.ledger.entries("hand") if isinstance(row.event, (Lost, Regained))]
    assert kinds == [Lost, Regained] * 2


STEPS = st.sampled_from(["hide model", "hide 1", "hide 2", "show", "promote 1", "promote 2", "archive 1", "archive 2"])


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=12))
def test_after_each_pass_exactly_those_that_hold_a_stage_and_are_missing_are_lost(steps: list[str]) -> None:
    with TemporaryDirectory() as folder:
        context, store = make(Path(folder))
        for step in steps:
            take(context, store, step)
            reconcile(context, "hand")
            there = set() if store.hidden_model else {version.identity for version in store.versions("hand")}
            holders = fold(context.ledger.entries("hand")).holders
            assert set(lost(context)) == {stage for stage, holder in holders.items() if holder.identity not in there}


def take(context: PromotionContext, store: HidingStore, step: str) -> None:
    what, _, number = step.partition(" ")
    if what == "hide":
        store.hidden_model, store.hidden = number == "model", None if number == "model" else int(number)
    elif what == "show":
        store.hidden_model, store.hidden = False, None
    else:
        stages = (Stage.ARCHIVED,) if what == "archive" else (Stage.STAGING, Stage.PRODUCTION)
        try:
            for stage in stages:
                promote(context, Ref("hand", int(number)), stage, ADA)
        except ModelyardError:
            return  # of what is hidden, or not allowed from there
