"""Promotion: gates, then the alias, then hooks.

    promote(…)   judge → record that it is ratified → move the alias → run the stage's hooks

A refused promotion changes nothing but the ledger, which keeps the refusal. A hook that fails leaves the
alias where it is, is recorded, and is tried again by the reconciler; hooks are idempotent, so a crash
anywhere between two steps is mended by running the same promotion again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from registry.errors import ModelyardError, NotFoundError, RefusedError, shorten
from registry.events import Archived, HookDone, HookFailed, Promoted, Refused, about
from registry.evidence import gather
from registry.files import digest_of, manifest_of
from registry.protocols import Entry, Gate, Hook, Leases, Ledger, Store
from registry.records import Evidence, Finding, ModelVersion
from registry.refs import Ref
from registry.stages import ALIASES, Stage, check_move

STAGE_TAG = "modelyard.stage"
DIGEST_TAG = "modelyard.digest"
BLOCKED_TAG = "modelyard.blocked"


@dataclass(frozen=True)
class Yard:
    """The parts that promotion works with; wiring supplies them."""

    store: Store
    ledger: Ledger
    leases: Leases
    gates: Mapping[Stage, Sequence[Gate]] = field(default_factory=dict[Stage, Sequence[Gate]])
    hooks: Mapping[Stage, Sequence[Hook]] = field(default_factory=dict[Stage, Sequence[Hook]])


@dataclass(frozen=True)
class Outcome:
    """A promotion that happened, and the hooks that still have to succeed."""

    promotion: Promoted
    pending: list[HookFailed]


def resolve(store: Store, ref: Ref) -> ModelVersion:
    """The version that a reference names now."""
    versions = {version.version: version for version in store.versions(ref.model)}
    number = ref.version
    if number is None:
        if ref.alias is None:
            raise NotFoundError(f"reference '{ref}'", "names no version", f"write {ref}/VERSION or {ref}@ALIAS")
        number = store.aliases(ref.model).get(ref.alias)
        if number is None:
            raise NotFoundError(f"reference '{ref}'", f"nobody holds '{ref.alias}'", f"promote a version of {ref.model}")
    if number not in versions:
        known = f"versions {min(versions)} to {max(versions)}" if versions else "no version"
        raise NotFoundError(f"reference '{ref}'", f"does not exist ({ref.model} has {known})", "see `modelyard status`")
    return versions[number]


def digest_version(store: Store, version: ModelVersion) -> str:
    """The digest of a version's files, computed from the bytes as they are now."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        return digest_of(manifest_of(store.fetch(version, Path(folder))))


def stage_of(store: Store, entries: Sequence[Entry], version: ModelVersion) -> Stage:
    """Where a version stands: the highest alias it holds, else whether it ever held one."""
    held = {alias for alias, number in store.aliases(version.model).items() if number == version.version}
    for stage in reversed(ALIASES):
        if stage.value in held:
            return stage
    mine = (version.version, version.created_ms)
    once = any(
        isinstance(entry.event, (Promoted, Archived)) and (entry.event.version, entry.event.created_ms) == mine
        for entry in entries
    )
    return Stage.ARCHIVED if once else Stage.NONE


def judge(gates: Sequence[Gate], evidence: Evidence) -> list[Finding]:
    """Every finding of every gate. A stage without gates ratifies nothing."""
    if not gates:
        return [Finding(gate="policy", passed=False, text="no gate is set for this stage")]
    return [finding for gate in gates for finding in gate.judge(evidence)]


def promote(yard: Yard, ref: Ref, stage: Stage, actor: str) -> Outcome:
    """Move a version to a stage, or raise RefusedError with every gate's reason and change nothing."""
    with yard.leases.hold(ref.model):
        version = resolve(yard.store, ref)
        entries = yard.ledger.entries(ref.model)
        check_move(str(version.ref), stage_of(yard.store, entries, version), stage)
        digest = digest_version(yard.store, version)
        if stage is Stage.ARCHIVED:
            return _archive(yard, version, digest, actor)
        promotion = _ratify(yard, version, digest, stage, actor)
        _move_alias(yard, version, promotion)
        return Outcome(promotion, run_hooks(yard, promotion))


def _ratify(yard: Yard, version: ModelVersion, digest: str, stage: Stage, actor: str) -> Promoted:
    """Judge the evidence; append the verdict, whichever it is."""
    evidence = gather(yard.ledger.entries(version.model), version, digest)
    findings = judge(yard.gates.get(stage, ()), evidence)
    failed = [finding.text for finding in findings if not finding.passed]
    if failed:
        yard.ledger.append(Refused(**about(version, digest), stage=stage, actor=actor, findings=findings))
        raise RefusedError(
            version.ref, f"refused for {stage}: {'; '.join(failed)}", "mend what failed, evaluate or export again, retry"
        )
    previous = yard.store.aliases(version.model).get(stage.value)
    other = previous if previous != version.version else None
    promotion = Promoted(**about(version, digest), stage=stage, previous=other, actor=actor, findings=findings)
    yard.ledger.append(promotion)
    return promotion


def _move_alias(yard: Yard, version: ModelVersion, promotion: Promoted) -> None:
    """Point the stage's alias at the version; it gives up any other stage's alias that it held."""
    store, model = yard.store, version.model
    tags = {STAGE_TAG: promotion.stage.value, DIGEST_TAG: promotion.digest}
    store.annotate(version, tags | ({BLOCKED_TAG: ""} if version.tags.get(BLOCKED_TAG) else {}))
    store.set_alias(model, promotion.stage.value, version.version)
    for alias, number in store.aliases(model).items():
        if alias in ALIASES and alias != promotion.stage and number == version.version:
            store.delete_alias(model, alias)
    if promotion.previous:
        old = [known for known in store.versions(model) if known.version == promotion.previous]
        for known in old:
            store.annotate(known, {STAGE_TAG: Stage.ARCHIVED.value})


def _archive(yard: Yard, version: ModelVersion, digest: str, actor: str) -> Outcome:
    """Take a version's aliases away."""
    for alias, number in yard.store.aliases(version.model).items():
        if alias in ALIASES and number == version.version:
            yard.store.delete_alias(version.model, alias)
    yard.store.annotate(version, {STAGE_TAG: Stage.ARCHIVED.value})
    yard.ledger.append(Archived(**about(version, digest), actor=actor))
    marker = Promoted(**about(version, digest), stage=Stage.ARCHIVED, previous=None, actor=actor, findings=[])
    return Outcome(marker, run_hooks(yard, marker))


def run_hooks(yard: Yard, promotion: Promoted) -> list[HookFailed]:
    """Run the stage's hooks in order, stopping at the first that fails; return the failure, if any."""
    same = promotion.model_dump(include={"model", "version", "created_ms", "digest", "stage"})
    for hook in yard.hooks.get(promotion.stage, ()):
        try:
            hook.run(promotion)
        except Exception as error:  # noqa: BLE001 a hook is anybody's code, and its failure must be recorded whatever it is
            attempt = 1 + failures(yard.ledger.entries(promotion.model), promotion, hook.name)
            reason = str(error) if isinstance(error, ModelyardError) else f"{type(error).__name__}: {shorten(error)}"
            failed = HookFailed(**same, hook=hook.name, attempt=attempt, reason=reason)
            yard.ledger.append(failed)
            return [failed]
        if not done(yard.ledger.entries(promotion.model), promotion, hook.name):
            yard.ledger.append(HookDone(**same, hook=hook.name))
    return []


def _since(entries: Sequence[Entry], promotion: Promoted) -> list[Entry]:
    """The rows after the version's latest ratification for that stage."""
    at = max((entry.seq for entry in entries if entry.event == promotion), default=0)
    return [entry for entry in entries if entry.seq > at]


def done(entries: Sequence[Entry], promotion: Promoted, hook: str) -> bool:
    """Whether a hook's last end since the promotion was a good one."""
    key = (promotion.version, promotion.created_ms, promotion.stage, hook)
    ends = [
        row.event
        for row in _since(entries, promotion)
        if isinstance(row.event, (HookDone, HookFailed))
        and (row.event.version, row.event.created_ms, row.event.stage, row.event.hook) == key
    ]
    return bool(ends) and isinstance(ends[-1], HookDone)


def failures(entries: Sequence[Entry], promotion: Promoted, hook: str) -> int:
    """How often a hook has failed since the promotion."""
    key = (promotion.version, promotion.created_ms, promotion.stage, hook)
    return sum(
        isinstance(row.event, HookFailed) and (row.event.version, row.event.created_ms, row.event.stage, row.event.hook) == key
        for row in _since(entries, promotion)
    )
