"""What happened to the old home's model 'hand', as the events that commit 861f1d7 put into its ledger.

It imports none of our code. Derived from a ledger that `modelyard` of that commit wrote: every field of every kind of event
is here, also those that have their default value.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from old_ledger import OldLedger, digest_of

LABELS = ["blue", "green", "red"]
MODEL_SCAN = {".json": 3, ".pt2": 1, ".txt": 1, ".yaml": 2, "MLmodel": 1}
BUNDLE_SCAN = {".json": 3, ".md": 1, ".onnx": 1, ".sig": 1}
TOP1 = {"at_least": 0.6, "images": 1, "kind": "metric", "label": None, "name": "top1", "slice": None}
CHAMPION = {"alpha": 0.05, "kind": "champion", "margin": 0.02, "method": "bootstrap", "metric": "top1"}
PARITY = {"control_at_most": 0.9, "images": 3, "kind": "parity", "limits": {}, "max_abs_diff": 0.01}
PARITY |= {"top1_agreement": 0.99, "variants": None}
LIMITS = {"map_difference": 0.01, "max_abs_diff": 0.01, "top1_agreement": 0.99}
FORMATS = ["mlmodel", ".yaml", ".yml", ".json", ".txt", ".md", ".toml", ".onnx", ".data", ".pt2", ".keras", ".h5"]
FORMATS += [".safetensors", ".csv", ".png", ".jpg", ".npy"]
BUNDLE_FORMATS = [".onnx", ".json", ".bin", ".xml", ".md", ".txt", ".sig"]
SAFETY = {"bundle": True, "bundle_formats": BUNDLE_FORMATS, "formats": FORMATS, "kind": "safety"}
STAGING = [TOP1, {"kind": "budget", "serve_usd_per_month": None, "train_usd": 1.0}, {"kind": "data", "warnings": None}]
LATENCY, SIZE = {"kind": "latency", "p50_ms": None, "p95_ms": 500.0}, {"kind": "size", "max_mb": 400.0}
PRODUCTION = [TOP1, CHAMPION, PARITY, LATENCY, SIZE, SAFETY, {"kind": "card"}]
DATA = {"checks": "strict", "clips": "/home/ada/clips", "fps": 5.0, "group": None, "images": None, "min_change": 1.5}
DATA |= {"slices": {}, "split": {"by": "clip", "seed": 0, "test": 0.2, "val": 0.2}}
TORCH = {
    "arch": "small_cnn",
    "batch": 32,
    "decode": "full",
    "epochs": 25,
    "imgsz": 32,
    "kind": "torch",
    "lr0": 0.004,
    "seed": 0,
}
ONNX = {"input": "image", "kind": "onnx", "map_difference": None, "max_abs_diff": None, "quantize": "float32"}
ONNX |= {"required": True, "top1_agreement": None}
LOCAL = {"canary": None, "kind": "local", "port": 0, "smoke_images": 8, "workers": 1}
JOB = {
    "budget": None,
    "data": DATA,
    "deploy": {"production": LOCAL, "staging": None},
    "export": [ONNX],
    "gates": {"production": PRODUCTION, "staging": STAGING, "unproven": "block"},
    "launch": {"kind": "local"},
    "model": "hand",
    "task": "classify",
    "train": [TORCH],
}
FIGURES = {"control_agreement": 0.0, "control_max_abs_diff": 0.864, "images": 3, "kept": True, "limits": LIMITS, "made": True}
FIGURES |= {"map_difference": None, "max_abs_diff": 0.0002, "mean_abs_diff": 1e-05, "note": "", "required": True}
FIGURES |= {"top1_agreement": 1.0, "variant": "onnx"}
MEASURED = {"first_ms": 52.7, "p50_ms": 0.78, "p95_ms": 9.03, "requests": 100}
TOOLS = {"mlflow": "3.17.2", "modelyard": "0.1.0", "numpy": "2.4.6", "onnx": "1.23.2", "onnxruntime": "1.32.0"}
TOOLS |= {"python": "3.11.7", "torch": "2.14.1", "ultralytics": "8.4.190"}
ROWS = {  # version → precision, recall and F1 of each class, the confusion, "1" for each right answer
    1: ([(1.0, 1.0, 1.0)] * 3, [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "111"),
    2: ([(1.0, 1.0, 1.0), (0.5, 1.0, 2 / 3), (0.0, 0.0, 0.0)], [[1, 0, 0], [0, 1, 0], [0, 1, 0]], "110"),
    3: ([(1 / 3, 1.0, 0.5), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)], [[1, 0, 0], [1, 0, 0], [1, 0, 0]], "100"),
}
METRICS = {
    1: {"macro_f1": 1.0, "top1": 1.0, "top5": 1.0, "worst_recall": 1.0},
    2: {"macro_f1": 5 / 9, "top1": 2 / 3, "top5": 1.0, "worst_recall": 0.0},
    3: {"macro_f1": 1 / 6, "top1": 1 / 3, "top5": 1.0, "worst_recall": 0.0},
}
MISTAKES = {1: [], 2: [("red", "green", 0.52)], 3: [("red", "blue", 0.41), ("green", "blue", 0.36)]}
SPENT = {1: (22.179498613, "0.000319"), 2: (15.012, "0.000209"), 3: (9.737520696, "0.000139")}


@dataclass(frozen=True)
class Version:
    """A registered version of 'hand': what MLflow numbered, and what its files came to. `bundle` is digest, path and MB."""

    number: int
    created_ms: int
    run_id: str
    manifest: dict[str, str]
    dataset: str
    bundle: tuple[str, str, float] | None = None

    @property
    def subject(self) -> dict[str, object]:
        digest = digest_of(self.manifest)
        return {"model": "hand", "version": self.number, "created_ms": self.created_ms, "digest": digest}


def evaluation(dataset: str, number: int) -> dict[str, object]:
    scores, confusion, right = ROWS[number]
    names = ("precision", "recall", "f1")
    classes = [
        {"label": label, "support": 1, **dict(zip(names, row, strict=True))} for label, row in zip(LABELS, scores, strict=True)
    ]
    mistakes = [
        {"answer": answer, "file": f"test/{label}/clip3-00000.jpg", "label": label, "probability": probability}
        for label, answer, probability in MISTAKES[number]
    ]
    scored = {"classes": classes, "clips": 3, "confusion": confusion, "dataset": dataset, "images": 3, "mistakes": mistakes}
    scored |= {"interval": [1.0, 1.0] if number == 1 else [0.0, 1.0], "metrics": METRICS[number], "slices": {}, "split": "test"}
    return scored | {"outcomes": {"per_clip": [1, 1, 1], "right": right}}


def scan(formats: dict[str, int]) -> dict[str, object]:
    return {"dangerous": [], "files": sum(formats.values()), "formats": formats, "pickles": [], "scanner": "picklescan 1.0.5"}


def finding(gate: str, text: str, figure: float | None, limit: float | None, *, passed: bool = True) -> dict[str, object]:
    return {"figure": figure, "gate": gate, "limit": limit, "passed": passed, "text": text}


def staging_findings(number: int) -> list[dict[str, object]]:
    top1, usd = METRICS[number]["top1"], float(SPENT[number][1])
    passed = top1 >= TOP1["at_least"]
    return [
        finding("metric", f"top1 {top1:.4g} is {'at least' if passed else 'below'} 0.6", top1, 0.6, passed=passed),
        finding("budget", f"training cost {usd:.4g} USD is at most 1 USD", usd, 1.0),
        finding("data", "failed data checks 0 is at most 0", 0.0, 0.0),
    ]


PRODUCTION_FINDINGS = [
    finding("metric", "top1 1 is at least 0.6", 1.0, 0.6),
    finding("champion", "no other version serves production", None, None),
    finding("parity", "onnx images 3 is at least 3", 3.0, 3.0),
    finding("parity", "onnx top-1 agreement 1 is at least 0.99", 1.0, 0.99),
    finding("parity", "onnx largest difference 0.0002 is at most 0.01", 0.0002, 0.01),
    finding("parity", "onnx wrong-image agreement 0 is at most 0.9", 0.0, 0.9),
    finding("latency", "p95 9.03 ms is at most 500 ms", 9.03, 500.0),
    finding("size", "bundle 0.002 MB is at most 400 MB", 0.002, 400.0),
    finding("safety", "model: no dangerous files (picklescan 1.0.5)", 0.0, 0.0),
    finding("safety", "model: no unexpected formats", 0.0, 0.0),
    finding("safety", "bundle: no dangerous files (picklescan 1.0.5)", 0.0, 0.0),
    finding("safety", "bundle: no unexpected formats", 0.0, 0.0),
    finding("safety", "bundle: no pickles", 0.0, 0.0),
    finding("card", "model card is complete", 0.0, 0.0),
]


def proof(version: Version, stage: str, rival: Version | None) -> dict[str, object]:
    """On what a verdict rested."""
    exported, scans = version.bundle if stage == "production" else None, {"model": scan(MODEL_SCAN)}
    evidence = version.subject | {"stage": stage, "dataset": version.dataset, "author": "ada", "approvals": []}
    evidence |= {"data": {"dataset": version.dataset, "errors": 0, "holds": True, "warnings": 1}}
    evidence |= {"evaluation": evaluation(version.dataset, version.number), "train_usd": SPENT[version.number][1]}
    evidence |= {"bundle": exported and exported[0], "bundle_mb": exported and exported[2]}
    evidence |= {"card_missing": [] if exported else None, "parity": [FIGURES] if exported else []}
    evidence |= {"latency": MEASURED if exported else None, "serve_usd_per_month": None if exported else "0.00"}
    evidence |= {"scans": scans | {"bundle": scan(BUNDLE_SCAN)} if exported else scans, "rival": None}
    if rival:
        scored = {name: rival.subject[name] for name in ("version", "created_ms", "digest")}
        evidence["rival"] = scored | {"evaluation": evaluation(rival.dataset, rival.number)}
    demanded = PARITY | {"limits": {"onnx": LIMITS}, "variants": ["onnx"]}
    policy = STAGING if stage == "staging" else [demanded if gate is PARITY else gate for gate in PRODUCTION]
    shown = {"dataset": version.dataset, "evidence": evidence, "manifest": version.manifest, "tools": TOOLS}
    return shown | {"policy": policy, "policy_hash": digest_of(policy)}


@dataclass(frozen=True)
class Story:
    """Writes what happened to 'hand'. `gate_runs` are the MLflow runs that show a verdict, by version and stage."""

    ledger: OldLedger
    gate_runs: dict[tuple[int, str], str]

    def write(self, production: Version, staging: Version, refused: Version, url: str) -> dict[tuple[int, str], int]:
        """Three versions: in production, in staging, refused. The rows of the three verdicts that MLflow shows too."""
        self.ledger.clock = datetime(2026, 11, 24, 9, 0, 0, 324872, tzinfo=UTC)
        unversioned = {"model": "hand", "version": 0, "created_ms": 0, "digest": ""}
        self.ledger.append(**unversioned, kind="policy_set", actor="ada", job=JOB, policy_hash=digest_of(JOB), proven=False)
        rows = {(1, "staging"): self.to_staging(production, None)}
        rows[1, "production"] = self.verdict(production, "production", PRODUCTION_FINDINGS, None)
        self.flip(production, "production")
        self.publish(production, "production", rows[1, "production"])
        deployed = {"bundle": production.bundle[0], "cold_start_s": 0.61, "owner": "", "price_as_of": "2026-11-22"}
        deployed |= {"smoke_images": 8, "stage": "production", "target": "local", "url": url, "usd_per_month": "36.50"}
        self.ledger.append(**production.subject, kind="deployed", **deployed)
        self.hooks(production, "production", "deploy", "retire")
        rows[2, "staging"] = self.to_staging(staging, production)
        self.measure(refused)
        rows[3, "staging"] = self.verdict(refused, "staging", staging_findings(3), production, kind="refused")
        self.publish(refused, "staging", rows[3, "staging"])
        return rows

    def measure(self, version: Version) -> None:
        """Trained, checked, scanned, scored and quoted."""
        seconds, usd = SPENT[version.number]
        trained = {"actor": "ada", "dataset": version.dataset, "hardware": "local: this machine", "price_as_of": "2026-11-22"}
        trained |= {"proven": False, "run_id": version.run_id, "seconds": seconds, "trainer": "torch", "usd": usd}
        verdict = {"dataset": version.dataset, "errors": 0, "holds": True, "warnings": 1}
        quoted = {"price_as_of": "2026-11-22", "stage": "staging", "target": "nothing", "usd_per_month": "0.00"}
        self.ledger.append(**version.subject, kind="trained", **trained)
        self.ledger.append(**version.subject, kind="data_checked", verdict=verdict)
        self.ledger.append(**version.subject, kind="scanned", scan=scan(MODEL_SCAN), what="model")
        self.ledger.append(**version.subject, kind="evaluated", evaluation=evaluation(version.dataset, version.number))
        self.ledger.append(**version.subject, kind="quoted", **quoted)

    def to_staging(self, version: Version, rival: Version | None) -> int:
        """Measured, promoted to staging and exported; the promotion's row."""
        self.measure(version)
        row = self.verdict(version, "staging", staging_findings(version.number), rival)
        self.flip(version, "staging")
        self.publish(version, "staging", row)
        bundle, path, megabytes = version.bundle
        exported = {"bundle": bundle, "card_missing": [], "latency": MEASURED, "megabytes": megabytes}
        self.ledger.append(**version.subject, kind="exported", **exported, parity=[FIGURES], path=path)
        self.ledger.append(**version.subject, kind="scanned", scan=scan(BUNDLE_SCAN), what="bundle")
        self.hooks(version, "staging", "export", "retire")
        return row

    def verdict(
        self, version: Version, stage: str, findings: list[dict[str, object]], rival: Version | None, kind: str = "promoted"
    ) -> int:
        shown = {"actor": "ada", "findings": findings, "proof": proof(version, stage, rival), "proven": False, "stage": stage}
        more = {"again": None, "previous": None} if kind == "promoted" else {}
        return self.ledger.append(**version.subject, kind=kind, **shown, **more)

    def flip(self, version: Version, stage: str) -> None:
        self.ledger.append(**version.subject, kind="flipped", actor="ada", previous=None, proven=False, stage=stage)
        self.hooks(version, stage, "tidy")

    def hooks(self, version: Version, stage: str, *names: str) -> None:
        for name in names:
            self.ledger.append(**version.subject, kind="hook_done", hook=name, stage=stage)

    def publish(self, version: Version, stage: str, row: int) -> None:
        run_id = self.gate_runs[version.number, stage]
        self.ledger.append(**version.subject, kind="published", row=row, run_id=run_id)
