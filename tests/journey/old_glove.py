"""The old home's second model, 'glove', of which only the ledger knows: the kinds of events that 'hand' did not come by.

It was served by RunPod, had a canary, was lost, released and archived, and is gone from MLflow. Its promotions are short of
the proof that those of 'hand' have, which commit 861f1d7 reads too. It imports none of our code.
"""

from __future__ import annotations

from datetime import UTC, datetime

from old_events import DATA, ONNX, TOP1, finding
from old_ledger import OldLedger, digest_of

RULES = {"hours_at_most": 24.0, "max_disagreement": 0.2, "max_error_rate": 0.01, "max_latency_ratio": 1.5, "requests": 200}
RULES |= {"share": 0.1, "when_quiet": "rollback"}
RUNPOD = {"bundle_secret": None, "bundles": "hf:example/glove", "canary": RULES, "cpu": {"id": "cpu5c", "vcpus": 2}}
RUNPOD |= {"data_centers": [], "flashboot": True, "gpus": 1, "idle_seconds": 30, "image": "registry.example/modelyard:0.1.0"}
RUNPOD |= {"kind": "runpod", "max_usd_per_month": None, "max_workers": 2, "min_workers": 0, "mode": "load_balancer"}
RUNPOD |= {"pools": [], "registry": None, "request_seconds": 60, "smoke_images": 8, "start_seconds": 900.0, "template": None}
YOLO = {"arch": "yolov8n-cls", "batch": 32, "decode": "full", "epochs": 12, "fliplr": 0.0, "imgsz": 64, "kind": "yolo"}
YOLO |= {"lr0": 0.002, "seed": 0}
APPROVAL = {"by": "another_person", "count": 1, "kind": "approval", "proven": False}
JOB = {
    "budget": {"usd_per_month": "5", "warn_at": 0.8},
    "data": DATA | {"slices": {"dark": "night"}},
    "deploy": {"production": RUNPOD, "staging": None},
    "export": [ONNX],
    "gates": {"production": [TOP1, APPROVAL], "staging": [TOP1], "unproven": "revert"},
    "launch": {"kind": "local"},
    "model": "glove",
    "task": "classify",
    "train": [YOLO],
}
FIGURES = {"canary_requests": 40.0, "stable_requests": 360.0, "canary_error_rate": 0.25, "canary_p95_ms": 25.0}
FIGURES |= {"stable_error_rate": 0.0, "stable_p95_ms": 25.0, "compared": 30.0, "disagreement": 0.1}
NO_VERSION = {"model": "glove", "version": 0, "created_ms": 0, "digest": ""}
FIRST = {"model": "glove", "version": 1, "created_ms": 1790841600000, "digest": "1" * 64}
SECOND = {"model": "glove", "version": 2, "created_ms": 1791100800000, "digest": "2" * 64}
ELSEWHERE = {"stage": "production", "target": "runpod", "url": "https://abc123.api.runpod.ai", "owner": ""}
PASSED = [finding("metric", "top1 0.9 is at least 0.6", 0.9, 0.6)]


def write_glove(ledger: OldLedger) -> None:
    """From its policy to its end, all of it in October 2026."""
    ledger.clock = datetime(2026, 10, 1, 9, 0, 0, 324872, tzinfo=UTC)
    ledger.append(**NO_VERSION, kind="policy_set", actor="eve", job=JOB, policy_hash=digest_of(JOB), proven=True)
    price = {"hardware": "local: this machine", "price_as_of": "2026-09-30", "actor": "ada", "proven": False}
    killed = {"reason": "its process was killed", "run_id": "f" * 32, "seconds": 36.0, "trainer": "yolo", "usd": "0.000500"}
    ledger.append(**NO_VERSION, **price, **killed, kind="training_failed")
    for version, run_id in ((FIRST, "a" * 32), (SECOND, "b" * 32)):
        trained = {"dataset": "d" * 64, "run_id": run_id, "seconds": 72.0, "trainer": "yolo", "usd": "0.001000"}
        ledger.append(**version, **price, **trained, kind="trained")
    scored = {"classes": [{"f1": 0.9, "label": "a", "precision": 0.9, "recall": 0.9, "support": 10}], "clips": 5, "images": 10}
    scored |= {"confusion": [[10]], "dataset": "d" * 64, "interval": [0.7, 1.0], "metrics": {"top1": 0.9}, "split": "test"}
    scored |= {"mistakes": [], "outcomes": None, "slices": {"dark": {"images": 4, "pattern": "night", "top1": 0.75}}}
    ledger.append(**FIRST, kind="evaluated", evaluation=scored)
    _promote(ledger, FIRST, "staging")
    ledger.append(**FIRST, kind="hook_failed", attempt=1, hook="export", reason="converter: took too long", stage="staging")
    ledger.append(**FIRST, kind="hook_done", hook="export", stage="staging")
    ledger.append(**FIRST, kind="approved", actor="eve", proven=True, stage="production")
    promoted = _promote(ledger, FIRST, "production")
    deployed = {"bundle": "c" * 64, "cold_start_s": 12.5, "price_as_of": "2026-09-30", "smoke_images": 8}
    ledger.clock = datetime(2026, 10, 2, 0, 0, tzinfo=UTC)
    ledger.append(**FIRST, **ELSEWHERE, kind="deployed", **deployed, usd_per_month="7.30")
    _promote(ledger, SECOND, "staging")
    _canary(ledger, promoted)
    _end(ledger)


def _canary(ledger: OldLedger, promoted: int) -> None:
    """The second version is tried beside the first, which takes over again."""
    _promote(ledger, SECOND, "production", previous=1)
    ledger.append(**SECOND, **ELSEWHERE, kind="canary_started", against=1, bundle="e" * 64, rules=RULES | {"requests": 200.0})
    ended = {"actor": "the canary's figures", "figures": FIGURES, "outcome": "rolled_back", "stage": "production"}
    ledger.append(**SECOND, kind="canary_ended", **ended, reason="fails 25.0% of 40 requests, over 1.0%")
    _promote(ledger, FIRST, "production", previous=2, again=promoted)
    ledger.append(**SECOND, kind="promoted", **_promotion("staging"))
    ledger.append(**SECOND, kind="undone", reason="alias 'staging' moved to 1 meanwhile", stage="staging")
    ledger.append(**SECOND | {"digest": ""}, kind="blocked", reason="top1 0.5 is below 0.6", stage="staging")


def _end(ledger: OldLedger) -> None:
    """Money in, the model out."""
    billed = {"provider": "runpod", "resource": "glove-production", "rate": "1", "source": "october.csv", "told": "0.50 USD"}
    billed |= {"start": "2026-10-03T00:00:00Z", "end": "2026-10-04T00:00:00Z", "usd": "0.50"}
    ledger.append(**NO_VERSION, kind="billed", **billed)
    spent = {"limit_usd": "5", "month": "2026-10", "reason": "the fair is this week", "spent_usd": "5.01"}
    ledger.append(**NO_VERSION, kind="budget_overridden", actor="eve", proven=True, **spent)
    gone = "glove/1 was deleted in MLflow, and nobody archived it; what serves it goes on until another version is promoted"
    ledger.append(**FIRST, kind="lost", reason=gone, stage="production")
    ledger.clock = datetime(2026, 10, 12, 0, 0, tzinfo=UTC)
    ledger.append(**FIRST, kind="released", reason="its alias was removed in MLflow", stage="production")
    ledger.append(**FIRST, kind="hook_done", hook="retire", stage="production")
    for version in (FIRST, SECOND):
        ledger.append(**version, kind="archived", actor="eve", proven=True)
        for hook in ("tidy", "retire"):
            ledger.append(**version, kind="hook_done", hook=hook, stage="archived")


def _promotion(stage: str, previous: int | None = None, again: int | None = None) -> dict[str, object]:
    findings = {"findings": PASSED, "proof": None, "proven": True, "stage": stage}
    return findings | {"actor": "eve", "again": again, "previous": previous}


def _promote(
    ledger: OldLedger, version: dict[str, object], stage: str, previous: int | None = None, again: int | None = None
) -> int:
    """Promoted, and its alias moved; the promotion's row."""
    row = ledger.append(**version, kind="promoted", **_promotion(stage, previous, again))
    ledger.append(**version, kind="flipped", actor="eve", previous=previous, proven=True, stage=stage)
    ledger.append(**version, kind="hook_done", hook="tidy", stage=stage)
    return row
