"""Promotion: gates, then the alias; refused means unchanged, and the reconciler settles what was set in MLflow."""

import sys
from pathlib import Path

import pytest

from registry.errors import InputError, IntegrityError, NotFoundError, RefusedError
from registry.events import Flipped, HookDone, HookFailed, Promoted, Refused
from registry.memory import MemoryStore
from registry.promotion.context import PromotionContext
from registry.promotion.promote import promote
from registry.promotion.reconcile import reconcile
from registry.promotion.state import fold
from registry.promotion.verdict import resolve
from registry.refs import Ref, parse_ref
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from promoting import ADA, Fails, Says, kinds, make_context


def test_a_version_that_passes_gets_the_alias_and_its_hooks(tmp_path: Path, model: Path) -> None:
    hook = Fails(0)
    context = make_context(tmp_path, model, Says(passed=True), hook)
    outcome = promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    assert outcome.pending == []
    assert context.store.aliases("hand") == {"staging": 1}
    assert hook.ran == 1
    assert kinds(context) == ["promoted", "flipped", "hook_done", "hook_done"]
    assert str(outcome.promotion) == "hand/1 promoted to staging by ada"


def test_a_refused_promotion_changes_nothing_but_the_ledger(tmp_path: Path, model: Path) -> None:
    hook = Fails(0)
    context = make_context(tmp_path, model, Says(passed=False), hook)
    with pytest.raises(RefusedError, match="as told"):
        promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    assert context.store.aliases("hand") == {}
    assert context.store.versions("hand")[0].tags == {}
    assert hook.ran == 0
    assert kinds(context) == ["refused"]


def test_a_stage_without_gates_lets_nobody_in(tmp_path: Path, model: Path) -> None:
    context = make_context(tmp_path, model, Says(passed=True))
    bare = PromotionContext(context.store, context.ledger, context.leases)
    with pytest.raises(RefusedError, match="no gate is set"):
        promote(bare, Ref("hand", 1), Stage.STAGING, ADA)


def test_gates_see_evidence_about_these_bytes_only(tmp_path: Path, model: Path) -> None:
    from registry.events import Trained, about

    gate = Says(passed=True)
    context = make_context(tmp_path, model, gate)
    version = context.store.versions("hand")[0]
    facts = {"trainer": "t", "run_id": "r", "dataset": "d", "seconds": 1, "hardware": "h", "usd": "1", "price_as_of": "x"}
    context.ledger.append(Trained(**about(version, "other bytes"), **facts))
    promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    assert gate.seen[0].train_usd is None


def test_the_version_that_was_there_before_is_named_and_archived(tmp_path: Path, model: Path) -> None:
    context = make_context(tmp_path, model, Says(passed=True))
    promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    outcome = promote(context, Ref("hand", 2), Stage.STAGING, ADA)
    assert outcome.promotion.previous == 1
    assert context.store.versions("hand")[0].tags["modelyard.stage"] == "archived"
    old = context.store.versions("hand")[0]
    assert fold(context.ledger.entries("hand")).stage_of(old.identity) is Stage.ARCHIVED


def test_production_takes_the_version_out_of_staging(tmp_path: Path, model: Path) -> None:
    context = make_context(tmp_path, model, Says(passed=True))
    promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    promote(context, Ref("hand", 1), Stage.PRODUCTION, ADA)
    assert context.store.aliases("hand") == {"production": 1}


def test_production_is_not_reached_from_nowhere(tmp_path: Path, model: Path) -> None:
    context = make_context(tmp_path, model, Says(passed=True))
    with pytest.raises(InputError, match="cannot go from 'none' to 'production'"):
        promote(context, Ref("hand", 1), Stage.PRODUCTION, ADA)
    assert kinds(context) == []


def test_an_outage_is_not_mistaken_for_tampering(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from registry.errors import UnavailableError

    context = make_context(tmp_path, model, Says(passed=True), Fails(1))
    promote(context, Ref("hand", 1), Stage.STAGING, ADA)

    def away(*_: object) -> Path:
        raise UnavailableError("server", "does not answer", "start it")

    monkeypatch.setattr("registry.promotion.due.wait_is_over", lambda *_: True)
    monkeypatch.setattr(context.store, "fetch", away)
    assert "does not answer" in reconcile(context, "hand").acted[0]
    assert "blocked" not in kinds(context)


def test_an_alias_that_the_gates_refuse_is_blocked_once_and_never_served(tmp_path: Path, model: Path) -> None:
    hook = Fails(0)
    context = make_context(tmp_path, model, Says(passed=False), hook)
    context.store.set_alias("hand", "staging", 2)
    assert "as told" in reconcile(context, "hand").acted[0]
    assert reconcile(context, "hand").acted == []
    assert hook.ran == 0
    assert "blocked" in str(context.store.versions("hand")[1].tags)
    assert kinds(context) == ["refused", "blocked"]


def test_an_alias_set_in_mlflow_is_a_request_that_the_gates_may_grant(tmp_path: Path, model: Path) -> None:
    hook = Fails(0)
    context = make_context(tmp_path, model, Says(passed=True), hook)
    context.store.set_alias("hand", "staging", 2)
    assert "brought up to date" in reconcile(context, "hand").acted[0]
    assert reconcile(context, "hand").acted == []
    assert hook.ran == 1
    assert kinds(context) == ["promoted", "flipped", "hook_done", "hook_done"]


def test_bytes_that_changed_after_ratification_are_not_served(tmp_path: Path, model: Path) -> None:
    hook = Fails(1)
    context = make_context(tmp_path, model, Says(passed=True), hook)
    promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    (model / "weights").write_text("2")
    promotions = [entry.event for entry in context.ledger.entries() if isinstance(entry.event, Promoted)]
    assert len(promotions) == 1
    import registry.promotion.due as room

    wait, room.wait_is_over = room.wait_is_over, lambda *_: True
    try:
        assert "files changed after it was ratified" in reconcile(context, "hand").acted[0]
    finally:
        room.wait_is_over = wait
    assert hook.ran == 1


def test_a_model_made_again_under_its_old_name_is_not_the_old_one(tmp_path: Path, model: Path) -> None:
    gate = Says(passed=True)
    context = make_context(tmp_path, model, gate)
    promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    store = context.store
    assert isinstance(store, MemoryStore)
    store.delete_model("hand")
    assert "the whole model 'hand' is gone" in reconcile(context, "hand").acted[0]
    assert reconcile(context, "hand").acted == []  # said once
    fresh = store.register("hand", model)
    store.set_alias("hand", "staging", 1)
    gate.passed = False  # as a real gate would say: its evidence is about another version
    reconcile(context, "hand")
    assert fold(context.ledger.entries("hand")).stage_of(fresh.identity) is Stage.NONE
    assert fold(context.ledger.entries("hand")).holders[Stage.STAGING].identity != fresh.identity


def test_missing_files_are_said_and_nothing_moves(tmp_path: Path, model: Path) -> None:
    context = make_context(tmp_path, model, Says(passed=True))
    (model / "weights").unlink()
    model.rmdir()
    with pytest.raises(IntegrityError, match="files are gone"):
        promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    assert context.store.aliases("hand") == {}
    assert kinds(context) == []


def test_archiving_takes_the_alias_away(tmp_path: Path, model: Path) -> None:
    context = make_context(tmp_path, model, Says(passed=True))
    promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    promote(context, Ref("hand", 1), Stage.ARCHIVED, ADA)
    assert context.store.aliases("hand") == {}
    assert "archived" in kinds(context)
    assert fold(context.ledger.entries("hand")).holders == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hand/9", "hand has versions 1 to 2"),
        ("hand@production", "no version holds"),
        ("foot/1", "not registered"),
        ("hand", "no version"),
    ],
)
def test_references_to_what_is_not_there_say_what_is(tmp_path: Path, model: Path, text: str, message: str) -> None:
    context = make_context(tmp_path, model, Says(passed=True))
    with pytest.raises(NotFoundError, match=message):
        resolve(context.store, parse_ref(text))


def test_every_event_reads_back_from_its_own_json(tmp_path: Path, model: Path) -> None:
    from registry.events import parse_event

    context = make_context(tmp_path, model, Says(passed=True), Fails(1))
    promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    for entry in context.ledger.entries():
        assert parse_event(entry.event.model_dump_json()) == entry.event
    assert {type(entry.event) for entry in context.ledger.entries()} <= {Promoted, Flipped, HookFailed, HookDone, Refused}
