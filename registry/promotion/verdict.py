"""Judging a version for a stage: the verdict and what it rests on. Nothing is written here."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from platform import python_version
from typing import Any

from pydantic import BaseModel

from registry.digests import canonical, digest_of, manifest_of, sha256_bytes
from registry.errors import NotFoundError
from registry.measured import few_clips_in_words
from registry.promotion.advice import Advice, advise
from registry.promotion.context import PromotionContext
from registry.promotion.evidence import gather
from registry.promotion.state import PromotionState, fold
from registry.protocols import Gate, Store, Versions
from registry.records import Evidence, Finding, ModelVersion, Proof, Rival
from registry.refs import Ref
from registry.stages import Stage, why_illegal

_TOOLS = ("modelyard", "mlflow", "numpy", "onnx", "onnxruntime", "torch", "ultralytics")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gates said of a version, for a stage."""

    version: ModelVersion
    stage: Stage
    findings: list[Finding]
    proof: Proof

    @property
    def digest(self) -> str:
        """The digest of the bytes that were judged."""
        return self.proof.evidence.digest

    @property
    def passed(self) -> bool:
        """Whether every gate let it pass."""
        return all(finding.passed for finding in self.findings)

    @property
    def reasons(self) -> str:
        """Every reason against it, in one sentence; that they rest on a few clips is said once, after all of them."""
        reasons = "; ".join(finding.text for finding in self.findings if not finding.passed)
        scored = self.proof.evidence.evaluation
        few = f" ({few_clips_in_words(scored.clips)})" if scored else ""
        return reasons.replace(few, "") + few if scored and few in reasons else reasons

    @property
    def advice(self) -> Advice | None:
        """What would most likely help, where something is against it and the evaluation says why."""
        return advise(self.proof.evidence, self.findings)


def resolve(store: Versions, ref: Ref) -> ModelVersion:
    """The version that a reference names now."""
    versions = {version.version: version for version in store.versions(ref.model)}
    number = ref.version
    if number is None:
        if ref.alias is None:
            raise NotFoundError(f"reference '{ref}'", "names no version", f"write {ref}/VERSION or {ref}@ALIAS")
        number = store.aliases(ref.model).get(ref.alias)
        if number is None:
            raise NotFoundError(f"reference '{ref}'", f"no version holds '{ref.alias}'", f"promote a version of {ref.model}")
    if number not in versions:
        known = f"versions {min(versions)} to {max(versions)}" if versions else "no version"
        raise NotFoundError(f"reference '{ref}'", f"does not exist ({ref.model} has {known})", "see `modelyard status`")
    return versions[number]


def manifest_version(store: Store, version: ModelVersion) -> dict[str, str]:
    """The SHA-256 of each of a version's files, computed from the bytes as they are now."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        return manifest_of(store.fetch(version, Path(folder)))


def digest_version(store: Store, version: ModelVersion) -> str:
    """The digest of a version's files, computed from the bytes as they are now."""
    return digest_of(manifest_version(store, version))


def judge(gates: Sequence[Gate], evidence: Evidence) -> list[Finding]:
    """Every finding of every gate. A stage without gates ratifies nothing."""
    if not gates:
        return [Finding(gate="policy", passed=False, text=f"no gate is set for this stage of {evidence.model}")]
    return [_finite(finding) for gate in gates for finding in gate.judge(evidence)]


def _finite(finding: Finding) -> Finding:
    """A figure that is not a number proves nothing, whatever a gate says of it."""
    if all(value is None or math.isfinite(value) for value in (finding.figure, finding.limit)):
        return finding
    text = f"{finding.text} (not a finite number)"
    return finding.model_copy(update={"passed": False, "figure": None, "limit": None, "text": text})


def evaluate_gates(context: PromotionContext, version: ModelVersion, stage: Stage, manifest: dict[str, str]) -> Verdict:
    """Judge a version for a stage; a move that is not legal is a finding among the others.

    `manifest` are its files' SHA-256: fetched and hashed before the lease is taken, because that takes minutes. What is
    read of the ledger is read here, within the lease.
    """
    entries = context.ledger.entries(version.model)
    state = fold(entries)
    evidence = gather(entries, version, digest_of(manifest), stage, _rival(state, version))
    if context.policy is not None:
        evidence = evidence.model_copy(update={"policy": context.policy.change_for(entries, stage)})
    gates = context.gates.get(stage, ())
    findings = judge(gates, evidence)
    if why := context.store.unready(version):
        findings = [Finding(gate="version", passed=False, text=f"{version.ref} is not whole: {why}"), *findings]
    if why := why_illegal(state.stage_of(version.identity), stage):
        findings = [Finding(gate="move", passed=False, text=f"{version.ref} {why}: promote it to staging first"), *findings]
    policy = [described(gate) for gate in gates]
    proof = Proof(
        manifest=manifest,
        dataset=evidence.dataset,
        policy=policy,
        policy_hash=hash_of(policy),
        evidence=evidence,
        tools=tools(),
    )
    return Verdict(version, stage, findings, proof)


def described(gate: Gate) -> dict[str, Any]:
    """A gate with its thresholds, as the job file would spell it."""
    return gate.model_dump(mode="json") if isinstance(gate, BaseModel) else {"kind": type(gate).__name__}


def hash_of(policy: object) -> str:
    """A policy's digest."""
    return sha256_bytes(canonical(policy))


def tools() -> dict[str, str]:
    """The versions of what measured and judged, without importing any of it."""
    versions = {"python": python_version()}
    for name in _TOOLS:
        try:
            versions[name] = version_of(name)
        except PackageNotFoundError:
            continue
    return versions


def _rival(state: PromotionState, version: ModelVersion) -> Rival | None:
    """Who else serves production by decision, whatever the alias says."""
    holder = state.holders.get(Stage.PRODUCTION)
    if holder is None or holder.identity == version.identity:
        return None
    number, created = holder.identity
    return Rival(version=number, created_ms=created, digest=holder.promotion.digest)
