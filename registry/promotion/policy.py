"""Which policy a model has: one fold over its `policy_set` rows, for everybody who decides by a policy.

    policy_set ──► in force, where the policy before it allows whoever set it
        ├────────► of no effect: it shows in the history as not counting
        └────────► undone with the promotion that it was recorded with: the policy before it is in force again

A row that was changed or that no trusted key signed decides nothing, and while it is the newest nothing else does: an
older policy, which may be laxer, never takes its place in silence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.errors import BusyError, IntegrityError, RefusedError
from registry.events import AnyEvent, Flipped, PolicyApproved, PolicySet, Promoted, Undone, named
from registry.protocols import Entry
from registry.records import Approval, PolicyChange
from registry.spending import PolicyRules
from registry.stages import Stage

_JUDGED_BY = ("gates", "export", "deploy", "budget", "policy")
"""The parts of a job that say what a version has to prove and where it is served; how it is trained is none of them."""

FOLLOWED = (Promoted, Flipped, Undone)
"""What the fold reads beside `policy_set`: what becomes of the promotion that a policy was recorded with."""


@dataclass
class PolicyState:
    """The policies of one model. `ignored`: row → why it decides nothing."""

    current: Entry | None = None
    flawed: Entry | None = None
    ignored: dict[int, str] = field(default_factory=dict[int, str])
    _before: dict[int, Entry | None] = field(default_factory=dict[int, "Entry | None"])
    """Row of a policy that came with a promotion → the policy before it."""
    _pending: dict[Stage, tuple[tuple[int, int], int]] = field(default_factory=dict[Stage, tuple[tuple[int, int], int]])
    """Stage → the version that is on its way there, and the row of the policy that came with it."""

    def apply(self, entry: Entry) -> None:
        """Take the next row in."""
        event = entry.event
        if isinstance(event, PolicySet):
            self._set(event, entry)
        elif self._before and isinstance(event, FOLLOWED) and entry.flaw is None:
            self._follow(event, entry.seq)

    def _set(self, event: PolicySet, entry: Entry) -> None:
        if entry.flaw is not None:
            self.flawed = entry
        elif why := self._why_not(event, entry):
            self.ignored[entry.seq] = why
        else:
            if event.promoting:
                self._before[entry.seq] = self.current
            self.current, self.flawed = entry, None

    def _follow(self, event: Promoted | Flipped | Undone, seq: int) -> None:
        """What becomes of the promotion that a policy was recorded with."""
        known = self._pending.get(event.stage)
        if isinstance(event, Undone) and known and known[0] != event.identity:
            return  # of a promotion that this one has overtaken
        self._pending.pop(event.stage, None)
        if isinstance(event, Promoted) and seq - 1 in self._before:
            self._pending[event.stage] = (event.identity, seq - 1)
        elif isinstance(event, Undone) and known:
            self.ignored[known[1]] = "the promotion that it was recorded with was undone"
        while self.current is not None and self.current.seq in self.ignored:
            self.current = self._before[self.current.seq]

    def _why_not(self, event: PolicySet, entry: Entry) -> str | None:
        if event.first and self.current is not None:
            return "a training sets the policy only where there is none"
        rules = rules_of(self.current)
        if rules.open or rules.allow(event.actor, proven=event.proven, signer=entry.signer):
            return None
        return f"the policy before it may be followed only by one of {rules}"


def fold_policies(entries: Iterable[Entry]) -> PolicyState:
    """Fold one model's rows."""
    state = PolicyState()
    for entry in entries:
        state.apply(entry)
    return state


def fold_policies_by_model(entries: Iterable[Entry]) -> dict[str, PolicyState]:
    """Fold the rows of any number of models."""
    states = defaultdict[str, PolicyState](PolicyState)
    for entry in entries:
        states[entry.event.model].apply(entry)
    return states


def policy_entry(entries: Iterable[Entry]) -> Entry | None:
    """The row of the policy in force. Raises IntegrityError where the newest row has a flaw."""
    state = fold_policies(entries)
    if state.flawed is not None:
        event, why = state.flawed.event, state.flawed.flaw
        remedy = f"look who wrote it, then set the right one: `modelyard policy set` (`modelyard history {event.model}`)"
        raise IntegrityError(f"policy of {event.model} (ledger row {state.flawed.seq})", f"does not count: {why}", remedy)
    return state.current


def policy_of(entry: Entry | None) -> PolicySet | None:
    """The policy of such a row."""
    return entry.event if entry is not None and isinstance(entry.event, PolicySet) else None


def rules_of(entry: Entry | None) -> PolicyRules:
    """Who may set the policy that comes after a row's."""
    policy = policy_of(entry)
    return policy.rules if policy else PolicyRules()


def check_may_set(entries: Iterable[Entry], proposed: PolicySet, signer: str) -> None:
    """Raise RefusedError where the policy in force does not allow whoever wants to set another; nothing is recorded."""
    rules = rules_of(fold_policies(entries).current)
    if not rules.allow(proposed.actor, proven=proposed.proven, signer=signer):
        who = named(proposed.actor, proven=proposed.proven)
        raise RefusedError(f"policy of {proposed.model}", f"may be set by {rules}, not by {who}", "ask one of them")


@dataclass(frozen=True)
class JudgingPolicy:
    """The policy that gates were made from, looked at before the lease was held.

    `base` is the hash of the policy that was in force then ("" for none). `proposed` is another one, to be recorded
    together with the promotion that passes by it.
    """

    base: str = ""
    proposed: PolicySet | None = None

    def confirm(self, entries: Sequence[Entry], signer: str) -> list[AnyEvent]:
        """What is to be recorded with a promotion; raises BusyError where another policy is in force by now.

        Called while the lease is held, with the model's rows as they are then.
        """
        current = policy_of(policy_entry(entries))
        if (current.policy_hash if current else "") != self.base:
            raise BusyError("policy", "was set anew while this was being decided", "look at it and try again")
        if self.proposed is None:
            return []
        check_may_set(entries, self.proposed, signer)
        return [self.proposed.model_copy(update={"promoting": True})]

    def change_for(self, entries: Sequence[Entry], stage: Stage) -> PolicyChange | None:
        """The policy against the one of the stage's last promotion; None where it is not known."""
        current = policy_entry(entries)
        policy = self.proposed or policy_of(current)
        if policy is None:
            return None
        before = last_judged_by(entries, stage)
        row = None if self.proposed or current is None else current.seq
        return PolicyChange(
            since=before[0] if before else None,
            changed=before is not None and judged_by(before[1].job) != judged_by(policy.job),
            row=row,
            set_by=policy.actor,
            approvals=_approvals(entries, row, policy.policy_hash),
        )


def judged_by(job: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a job that versions are judged and served by."""
    data: Mapping[str, Any] = job.get("data") or {}
    return {name: job.get(name) for name in _JUDGED_BY} | {"slices": data.get("slices") or {}}


def last_judged_by(entries: Iterable[Entry], stage: Stage) -> tuple[int, PolicySet] | None:
    """The row of the stage's last promotion that was judged and came to its alias, and the policy that was in force.

    A rollback judges nothing, so it does not make a policy the one that counted.
    """
    policies, judged, last = PolicyState(), dict[tuple[int, int], tuple[int, PolicySet]](), None
    for entry in entries:
        policies.apply(entry)
        event, policy = entry.event, policy_of(policies.current)
        if not isinstance(event, (Promoted, Flipped, Undone)) or event.stage is not stage or entry.flaw is not None:
            continue
        if isinstance(event, Promoted):
            judged.pop(event.identity, None)
            if event.again is None and policy is not None:
                judged[event.identity] = (entry.seq, policy)
        elif (begun := judged.pop(event.identity, None)) and isinstance(event, Flipped):
            last = begun
    return last


def _approvals(entries: Iterable[Entry], row: int | None, policy_hash: str) -> list[Approval]:
    """Who approved what a row has set; what is not recorded yet nobody can have approved."""
    events = [entry.event for entry in entries if isinstance(entry.event, PolicyApproved) and entry.flaw is None]
    return [
        Approval(actor=event.actor, proven=event.proven)
        for event in events
        if (event.row, event.policy_hash) == (row, policy_hash)
    ]
