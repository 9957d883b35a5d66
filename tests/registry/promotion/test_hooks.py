"""Hooks run after the alias moved: one that failed is tried again, and what broke is made again."""

import sys
from pathlib import Path

from registry.errors import MissingKeyError
from registry.events import Promoted
from registry.promotion.promote import promote
from registry.promotion.reconcile import reconcile
from registry.refs import Ref
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from promoting import ADA, Breaks, Fails, Says, kinds, make_context


def test_a_failed_hook_is_recorded_and_the_reconciler_finishes_it(tmp_path: Path, model: Path, monkeypatch) -> None:
    hook = Fails(2)
    context = make_context(tmp_path, model, Says(passed=True), hook)
    outcome = promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    assert [str(event) for event in outcome.pending] == [
        "fails of hand/1 for staging failed (attempt 1): disk: is full; free some space"
    ]
    assert context.store.aliases("hand") == {"staging": 1}
    assert reconcile(context, "hand").acted == []  # its wait is not over
    monkeypatch.setattr("registry.promotion.due.wait_is_over", lambda *_: True)
    assert "attempt 2" in reconcile(context, "hand").acted[0]
    assert "brought up to date" in reconcile(context, "hand").acted[0]
    assert reconcile(context, "hand").acted == []
    assert hook.ran == 3
    assert kinds(context) == ["promoted", "flipped", "hook_done", "hook_failed", "hook_failed", "hook_done"]


def test_a_later_hook_waits_for_an_earlier_one(tmp_path: Path, model: Path) -> None:
    later = Breaks(0)
    context = make_context(tmp_path, model, Says(passed=True), Fails(1), later)
    promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    assert later.ran == 0
    promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    assert later.ran == 1


def test_what_a_hook_made_is_made_again_when_it_breaks(tmp_path: Path, model: Path) -> None:
    hook = Breaks(0)
    context = make_context(tmp_path, model, Says(passed=True), hook)
    promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    assert reconcile(context, "hand").acted == []
    hook.alive = False
    assert "brought up to date" in reconcile(context, "hand").acted[0]
    assert hook.ran == 2


def test_what_cannot_be_made_again_is_tried_again_later_and_later(tmp_path: Path, model: Path) -> None:
    hook = Breaks(0)
    context = make_context(tmp_path, model, Says(passed=True), hook)
    promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    hook.alive, hook.times = False, 100
    assert "attempt 1" in reconcile(context, "hand").acted[0]
    for _ in range(5):
        assert reconcile(context, "hand").acted == []
    assert kinds(context).count("hook_failed") == 1


class Keyed(Breaks):
    """A hook that works at a provider, with or without its key."""

    key: MissingKeyError | None = None

    def missing_key(self, *_: object) -> MissingKeyError | None:
        return self.key

    def run(self, promotion: Promoted) -> None:
        if self.key:
            raise self.key
        super().run(promotion)


def test_a_hook_without_its_key_is_no_failure_and_runs_once_the_key_is_there(tmp_path: Path, model: Path) -> None:
    hook = Keyed(0)
    hook.key = MissingKeyError("RUNPOD_API_KEY", "is not set", "set it")
    context = make_context(tmp_path, model, Says(passed=True), hook)
    outcome = promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    assert [str(event) for event in outcome.pending] == [
        f"{hook.name} of hand/1 for staging was not tried: RUNPOD_API_KEY: is not set; set it"
    ]
    for _ in range(3):
        assert reconcile(context, "hand").acted == []
    assert (hook.ran, "hook_failed" in kinds(context)) == (0, False)
    hook.key = None
    assert "brought up to date" in reconcile(context, "hand").acted[0]
    hook.key, hook.alive = MissingKeyError("RUNPOD_API_KEY", "is not set", "set it"), False
    assert reconcile(context, "hand").acted == [], "what cannot be looked at is not made again"
    assert promote(context, Ref("hand", 1), Stage.STAGING, ADA).pending != []
    hook.key = None
    assert "brought up to date" in reconcile(context, "hand").acted[0]
    assert "hook_failed" not in kinds(context)
