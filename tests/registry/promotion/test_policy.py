"""Which policy is in force: one fold, for everybody; who may set it, what a flaw means, and what is recorded with a promotion."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from registry.errors import BusyError, IntegrityError, RefusedError
from registry.events import AnyEvent, Flipped, PolicyApproved, PolicySet, Promoted, Undone, parse_event
from registry.memory import MemoryEntry, MemoryLedger
from registry.promotion.evidence import gather
from registry.promotion.policy import JudgingPolicy, check_may_set, fold_policies, last_judged_by, policy_entry
from registry.promotion.promote import promote, rollback
from registry.records import ModelVersion
from registry.refs import Ref
from registry.reports.accounts import limits
from registry.reports.history import history
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from promoting import ADA, Says, kinds, make_context

STRICT: dict[str, Any] = {"gates": {"staging": [{"kind": "metric", "at_least": 0.9}]}}
LAX: dict[str, Any] = {"gates": {"staging": [{"kind": "metric", "at_least": 0.1}]}}


def policy(job: dict[str, Any], actor: str = "ada", *, proven: bool = False, first: bool = False, **more: Any) -> PolicySet:
    return PolicySet(
        model="hand", actor=actor, proven=proven, first=first, job=job, policy_hash=str(sorted(job.items())), **more
    )


def ledger_with(*events: Any, signers: tuple[str, ...] = ()) -> MemoryLedger:
    ledger = MemoryLedger()
    for event, signer in zip(events, signers or ("",) * len(events), strict=True):
        ledger.signer = signer
        ledger.append(event)
    return ledger


def in_force(ledger: MemoryLedger) -> dict[str, Any]:
    entry = policy_entry(ledger.entries("hand"))
    assert entry is not None
    assert isinstance(entry.event, PolicySet)
    return entry.event.job


def test_an_old_row_without_changes_still_reads() -> None:
    old = b'{"kind": "policy_set", "model": "hand", "actor": "ada", "job": {}, "policy_hash": "p", "version": 0, "created_ms": 0, "digest": ""}'
    event = parse_event(old)
    assert isinstance(event, PolicySet)
    assert (event.changes, event.first, str(event)) == ([], False, "policy of hand set by ada (self-declared) (p)")


def test_the_last_row_that_counts_decides() -> None:
    assert in_force(ledger_with(policy(STRICT), policy(LAX))) == LAX


@pytest.mark.parametrize(
    ("rules", "setter", "proven", "signer", "counts"),
    [
        ({"set_by": ["ada"]}, "ada", True, "", True),
        ({"set_by": ["ada"]}, "ada", False, "", False),
        ({"set_by": ["ada"]}, "eve", True, "", False),
        ({"keys": ["k1"]}, "eve", False, "k1", True),
        ({"keys": ["k1"]}, "ada", True, "k2", False),
        ({"keys": ["k1"]}, "ada", True, "", False),
        ({"set_by": ["ada"], "keys": ["k1"]}, "ada", True, "k9", True),
        ({}, "eve", False, "", True),
    ],
)
def test_who_may_follow_is_said_by_the_policy_before(rules: dict, setter: str, proven: bool, signer: str, counts: bool) -> None:
    after = policy(LAX | {"policy": None}, setter, proven=proven)
    ledger = ledger_with(policy(STRICT | {"policy": rules}, "ada", proven=True), after, signers=("k1", signer))
    assert (in_force(ledger) == after.job) == counts
    last = history(ledger.entries("hand"), "hand")[-1]
    assert last.counts == counts
    assert counts or "does not count: the policy before it may be followed only by one of" in last.text
    before = ledger.entries("hand")[:1]
    if counts:
        check_may_set(before, after, signer)
    else:
        with pytest.raises(RefusedError, match="may be set by"):
            check_may_set(before, after, signer)


def test_what_decides_nothing_changes_neither_the_rules_nor_budget_nor_slices() -> None:
    pinned = STRICT | {"policy": {"set_by": ["ada"]}, "budget": {"usd_per_month": "5"}}
    free = LAX | {"budget": {"usd_per_month": "5000"}, "data": {"slices": {"dark": "x"}}}
    ledger = ledger_with(policy(pinned, proven=True), policy(free, "eve"), policy(LAX, "eve"))
    assert in_force(ledger) == pinned
    assert limits(ledger.entries())["hand"].usd_per_month == 5
    assert set(fold_policies(ledger.entries("hand")).ignored) == {2, 3}


def test_a_training_sets_the_policy_only_where_there_is_none() -> None:
    assert in_force(ledger_with(policy(STRICT), policy(LAX, first=True))) == STRICT
    assert in_force(ledger_with(policy(LAX, first=True), policy(STRICT))) == STRICT


class Flawed(MemoryLedger):
    """A ledger of which one row was changed."""

    row = 0

    def entries(self, model: str | None = None, after: int = 0) -> list[MemoryEntry]:
        return [replace(row, flaw="it was changed") if row.seq == self.row else row for row in super().entries(model, after)]


def test_a_row_with_a_flaw_never_lets_an_older_policy_decide(tmp_path: Path, model: Path) -> None:
    ledger = Flawed()
    ledger.append(policy(LAX))
    ledger.append(policy(STRICT))
    ledger.row = 2
    with pytest.raises(IntegrityError, match=r"policy of hand \(ledger row 2\): does not count: it was changed"):
        policy_entry(ledger.entries("hand"))
    context = make_context(tmp_path, model, Says(passed=True))
    context = replace(context, ledger=ledger, policy=JudgingPolicy(policy(LAX).policy_hash))
    with pytest.raises(IntegrityError, match="ledger row 2"):
        promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    assert kinds(context) == ["policy_set", "policy_set"]
    ledger.append(policy(STRICT))  # set anew, it counts
    assert in_force(ledger) == STRICT


def test_a_policy_is_recorded_with_a_promotion_that_passes_and_with_no_other(tmp_path: Path, model: Path) -> None:
    gate = Says(passed=False)
    context = replace(make_context(tmp_path, model, gate), policy=JudgingPolicy("", policy(LAX)))
    with pytest.raises(RefusedError, match="as told"):
        promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    assert kinds(context) == ["refused"]
    gate.passed = True
    outcome = promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    assert kinds(context)[1:4] == ["policy_set", "promoted", "flipped"]
    assert outcome.policy == policy(LAX)


def test_a_policy_that_was_recorded_with_a_promotion_falls_with_it(tmp_path: Path, model: Path) -> None:
    context = make_context(tmp_path, model, Says(passed=True))

    class Overtaken(MemoryLedger):
        """Somebody moves the alias as soon as the promotion is ratified, so that it is undone."""

        def append_all(self, events: Sequence[AnyEvent]) -> list[MemoryEntry]:
            rows = super().append_all(events)
            if isinstance(events[-1], Promoted):
                context.store.set_alias("hand", "staging", 2)
            return rows

    ledger = Overtaken()
    ledger.append(policy(STRICT))
    context = replace(context, ledger=ledger)
    proposing = replace(context, policy=JudgingPolicy(policy(STRICT).policy_hash, policy(LAX)))
    with pytest.raises(RefusedError, match="moved to 2 meanwhile"):
        promote(proposing, Ref("hand", 1), Stage.STAGING, ADA)
    assert kinds(context) == ["policy_set", "policy_set", "promoted", "undone"]
    assert in_force(ledger) == STRICT
    assert [moment.counts for moment in history(context.ledger.entries("hand"), "hand")][:2] == [True, False]


def _promotion(number: int) -> Promoted:
    return Promoted(**_key(number), previous=None, actor="ada", findings=[])


def _key(number: int, stage: Stage = Stage.STAGING) -> dict[str, Any]:
    return {"model": "hand", "version": number, "created_ms": 1, "digest": "d", "stage": stage}


WITH: dict[str, Any] = {"promoting": True}
UNDOING: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "undone": ([policy(LAX, **WITH), _promotion(1), Undone(**_key(1), reason="r")], STRICT),
    "of a release that did not say so": ([policy(LAX), _promotion(1), Undone(**_key(1), reason="r")], LAX),
    "set before by itself": ([policy(LAX), policy(LAX | {"a": 1}), _promotion(1), Undone(**_key(1), reason="r")], LAX | {"a": 1}),
    "done, and a later one by the same policy undone": (
        [policy(LAX, **WITH), _promotion(1), Flipped(**_key(1), previous=None, actor="a"), _promotion(2), Undone(**_key(2), reason="r")],
        LAX,
    ),
    "another version's is undone": ([policy(LAX, **WITH), _promotion(1), Undone(**_key(2), reason="r")], LAX),
    "another stage's is undone": (
        [policy(LAX, **WITH), _promotion(1), Undone(**_key(1, Stage.PRODUCTION), reason="r")],
        LAX,
    ),
    "undone after another was set": (
        [policy(LAX, **WITH), _promotion(1), policy({"b": 1}), Undone(**_key(1), reason="r")],
        {"b": 1},
    ),
    "undone twice, the older first": (
        [
            *(policy(LAX, **WITH), _promotion(1), policy({"b": 1}, **WITH)),
            *(Promoted(**_key(2, Stage.PRODUCTION), previous=None, actor="ada", findings=[]), Undone(**_key(1), reason="r")),
            Undone(**_key(2, Stage.PRODUCTION), reason="r"),
        ],
        STRICT,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", UNDOING)
def test_only_the_policy_of_a_promotion_that_was_undone_falls(case: str) -> None:
    rows, wanted = UNDOING[case]
    ledger = ledger_with(policy(STRICT), *rows)
    assert in_force(ledger) == wanted
    assert (fold_policies(ledger.entries("hand")).flawed, len(ledger.entries())) == (None, len(rows) + 1)


def test_an_undoing_that_no_trusted_key_signed_takes_no_policy_away() -> None:
    ledger = Flawed()
    ledger.append_all([policy(STRICT), policy(LAX, **WITH), _promotion(1), Undone(**_key(1), reason="r")])
    ledger.row = 4
    assert in_force(ledger) == LAX


@pytest.mark.parametrize("proposed", [None, policy(LAX, "eve")], ids=["by the policy", "by a job file"])
def test_a_policy_that_was_set_meanwhile_is_looked_at_first(tmp_path: Path, model: Path, proposed: PolicySet | None) -> None:
    context = make_context(tmp_path, model, Says(passed=True))
    context.ledger.append(policy(STRICT))
    judging = JudgingPolicy(policy(STRICT).policy_hash, proposed)
    context = replace(context, policy=judging, measure=lambda *_: context.ledger.append(policy(LAX)))
    with pytest.raises(BusyError, match="set anew while"):
        promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    assert kinds(context) == ["policy_set", "policy_set"]


def test_what_a_policy_may_not_follow_is_refused_within_the_lease_too(tmp_path: Path, model: Path) -> None:
    context = make_context(tmp_path, model, Says(passed=True))
    pinned = policy(STRICT | {"policy": {"keys": ["k"]}})
    context.ledger.append(pinned)
    context = replace(context, policy=JudgingPolicy(pinned.policy_hash, policy(LAX)))
    with pytest.raises(RefusedError, match="may be set by key k, not by ada"):
        promote(context, Ref("hand", 1), Stage.STAGING, ADA)
    assert kinds(context) == ["policy_set"]


def changed(context, stage: Stage = Stage.STAGING) -> tuple[int | None, bool, list[str]]:
    """What the gate sees of the policy in force."""
    change = JudgingPolicy().change_for(context.ledger.entries("hand"), stage)
    assert change is not None
    return change.since, change.changed, [approval.actor for approval in change.approvals]


def test_the_policy_is_compared_with_the_one_of_the_stage_s_last_promotion(tmp_path: Path, model: Path) -> None:
    context = make_context(tmp_path, model, Says(passed=True))
    ledger = context.ledger
    ledger.append(policy(STRICT))
    assert changed(context) == (None, False, [])
    for number in (1, 2):
        promote(context, Ref("hand", number), Stage.STAGING, ADA)
    row = last_judged_by(ledger.entries("hand"), Stage.STAGING)
    assert row is not None
    assert changed(context) == (row[0], False, [])
    ledger.append(policy(STRICT | {"train": [{"kind": "torch"}]}))  # how it is trained is not what it is judged by
    assert changed(context) == (row[0], False, [])
    lax = ledger.append(policy(LAX))
    assert changed(context) == (row[0], True, [])
    rollback(context, "hand", Stage.STAGING, None, ADA)  # judges nothing, so it makes no policy the one that counted
    assert changed(context) == (row[0], True, [])
    same = {"model": "hand", "proven": True, "policy_hash": policy(LAX).policy_hash}
    ledger.append(PolicyApproved(**same, actor="eve", row=lax.seq - 1))  # of another row
    assert changed(context) == (row[0], True, [])
    ledger.append(PolicyApproved(**same, actor="eve", row=lax.seq))
    assert changed(context) == (row[0], True, ["eve"])
    assert changed(context, Stage.PRODUCTION) == (None, False, ["eve"])


def test_what_is_not_recorded_yet_nobody_can_have_approved(tmp_path: Path, model: Path) -> None:
    gate = Says(passed=True)
    context = make_context(tmp_path, model, gate)
    context.ledger.append(policy(STRICT))
    promote(replace(context, policy=JudgingPolicy(policy(STRICT).policy_hash)), Ref("hand", 1), Stage.STAGING, ADA)
    proposing = JudgingPolicy(policy(STRICT).policy_hash, policy(LAX, "bob"))
    promote(replace(context, policy=proposing), Ref("hand", 2), Stage.STAGING, ADA)
    seen = gate.seen[-1].policy
    assert seen is not None
    assert (seen.changed, seen.row, seen.set_by, seen.approvals) == (True, None, "bob", [])
    assert gather([], ModelVersion("hand", 1, 1), "d").policy is None  # absent is not known
