"""Gates of the second kind: against the champion, by class and slice, on files, on the card, and by people."""

from __future__ import annotations

import json
import math
import pickle
import zipfile
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from pipelines.evaluation.scores import HeldOutSet, evaluate
from pipelines.job.jobfile import parse_job
from registry.errors import InputError
from registry.records import Approval, DataVerdict, Evaluation, Evidence, Finding, Outcomes, Record, Rival, Scan, SliceScore
from serving.bundle.modelinfo import ModelInfo
from serving.bundle.preprocess import Preprocess
from serving.bundle.seal import SIGNATURE
from serving.export.card import Facts, missing_from, write_card
from validation.gates.approval import ApprovalGate
from validation.gates.budget import BudgetGate
from validation.gates.card import CardGate
from validation.gates.champion import ChampionGate, lower_bound, mcnemar
from validation.gates.config import OtherGate
from validation.gates.data import DataGate
from validation.gates.latency import LatencyGate
from validation.gates.metric import MetricGate
from validation.gates.safety import SafetyGate
from validation.scan import scan_folder

EMPTY = Evidence(model="hand", version=2, created_ms=1, digest="d")


def passes(gate: object, **facts: object) -> bool:
    return all(finding.passed for finding in gate.judge(EMPTY.model_copy(update=facts)))


def scored(right: list[int], per_clip: list[int], dataset: str = "data") -> Evaluation:
    outcomes = Outcomes(right="".join(map(str, right)), per_clip=per_clip)
    facts = {"images": len(right), "clips": len(per_clip), "classes": [], "confusion": [], "interval": (0, 1)}
    return Evaluation(dataset=dataset, split="test", metrics={"top1": float(np.mean(right))}, outcomes=outcomes, **facts)


def rival(evaluation: Evaluation | None) -> Rival:
    return Rival(version=1, created_ms=1, digest="r", evaluation=evaluation)


@pytest.mark.parametrize(
    "gate", [ChampionGate(), DataGate(), SafetyGate(), CardGate(), ApprovalGate(), BudgetGate(serve_usd_per_month=1), LatencyGate(p50_ms=1), MetricGate(name="recall", label="a"), MetricGate(slice="dark")]
)  # fmt: skip
def test_without_evidence_no_gate_lets_pass(gate: Record) -> None:
    assert not passes(gate, rival=rival(None))


def test_the_first_version_has_nobody_to_beat() -> None:
    assert passes(ChampionGate())
    assert "no other version" in ChampionGate().judge(EMPTY)[0].text


def test_a_candidate_as_good_as_the_champion_passes_and_one_that_is_worse_does_not() -> None:
    clips, rng = [5] * 60, np.random.default_rng(0)
    base = (rng.random(300) < 0.95).astype(int).tolist()
    worse = [0 if index % 12 == 0 else right for index, right in enumerate(base)]
    assert passes(ChampionGate(), evaluation=scored(base, clips), rival=rival(scored(base, clips)))
    assert not passes(ChampionGate(), evaluation=scored(worse, clips), rival=rival(scored(base, clips)))
    assert passes(ChampionGate(), evaluation=scored(base, clips), rival=rival(scored(worse, clips)))
    texts = [finding.text for finding in ChampionGate().judge(EMPTY.model_copy(update={"evaluation": scored(worse, clips), "rival": rival(scored(base, clips))}))]  # fmt: skip
    assert "95% lower bound" in texts[0]
    strict = ChampionGate(method="mcnemar")
    assert passes(strict, evaluation=scored(base, clips), rival=rival(scored(base, clips)))
    assert not passes(strict, evaluation=scored(worse, clips), rival=rival(scored(base, clips)))


@pytest.mark.parametrize(
    "theirs",
    [scored([1] * 10, [5, 5], "other data"), scored([1] * 9, [5, 4]), scored([1] * 10, [4, 6]), None],
    ids=["other data", "fewer images", "other clips", "not scored"],
)
def test_a_champion_that_was_not_scored_on_these_very_images_is_no_comparison(theirs: Evaluation | None) -> None:
    findings = ChampionGate().judge(EMPTY.model_copy(update={"evaluation": scored([1] * 10, [5, 5]), "rival": rival(theirs)}))
    assert not findings[0].passed
    assert "run `modelyard evaluate hand/1 --data" in findings[0].text


def test_mcnemar_is_the_exact_binomial_test_on_the_images_that_differ() -> None:
    mine, theirs = Outcomes(right="1110000011", per_clip=[10]), Outcomes(right="1111111000", per_clip=[10])
    assert mcnemar(mine, theirs) == pytest.approx(binomtest(4, 6, 0.5, alternative="greater").pvalue)
    assert mcnemar(mine, mine) == 1.0


def test_the_bootstrap_resamples_clips_and_is_wider_where_a_clip_stands_or_falls_as_one() -> None:
    theirs = Outcomes(right="1" * 400, per_clip=[10] * 40)
    clustered = Outcomes(right="0" * 40 + "1" * 360, per_clip=[10] * 40)  # four whole clips wrong
    spread = Outcomes(right=("0" + "1" * 9) * 40, per_clip=[10] * 40)  # one image of each clip wrong
    assert lower_bound(spread, theirs, 0.05) == pytest.approx(-0.1)
    assert lower_bound(clustered, theirs, 0.05) < -0.15
    assert math.isnan(lower_bound(Outcomes(right="", per_clip=[]), theirs, 0.05))


def test_outcomes_keep_a_clips_images_together_whatever_the_order() -> None:
    held = HeldOutSet(["a", "b"], [0, 1, 0, 1], ["k/y", "k/x", "k/y", "k/x"], {"x": "/x", "none": "/z"})
    evaluation = evaluate(np.asarray([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]], np.float32), held, "d", "test")
    assert evaluation.outcomes == Outcomes(right="0111", per_clip=[2, 2])
    assert evaluation.slices == {
        "x": SliceScore(images=2, top1=0.5, pattern="/x"),
        "none": SliceScore(images=0, top1=0.0, pattern="/z"),
    }
    assert passes(MetricGate(slice="x", at_least=0.5), evaluation=evaluation)
    assert not passes(MetricGate(slice="x", at_least=0.5, images=3), evaluation=evaluation)
    assert not passes(MetricGate(slice="none", at_least=0), evaluation=evaluation)
    assert not passes(MetricGate(slice="unheard of", at_least=0), evaluation=evaluation)
    assert passes(MetricGate(name="recall", label="a", at_least=1), evaluation=evaluation)
    assert not passes(MetricGate(name="recall", label="b", at_least=0.6), evaluation=evaluation)
    assert not passes(MetricGate(name="recall", label="c", at_least=0), evaluation=evaluation)


def test_the_data_report_must_be_about_the_data_it_was_trained_on_and_hold() -> None:
    verdict = DataVerdict(dataset="x", holds=True, errors=0, warnings=2)
    assert passes(DataGate(), dataset="x", data=verdict)
    assert not passes(DataGate(), dataset="y", data=verdict)
    assert not passes(DataGate(warnings=1), dataset="x", data=verdict)
    assert not passes(DataGate(), dataset="x", data=verdict.model_copy(update={"errors": 1}))
    assert not passes(DataGate(), dataset="x", data=verdict.model_copy(update={"holds": False}))


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return (os.system, ("true",))


def test_a_pickle_is_found_under_any_name_and_an_unexpected_file_too(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x08\x0a" * 100)
    (tmp_path / "labels.json").write_text(json.dumps(["a"]))
    clean = scan_folder(tmp_path)
    assert (clean.files, clean.dangerous, clean.pickles) == (2, [], [])
    assert passes(SafetyGate(), scans={"model": clean, "bundle": clean})
    signed = clean.model_copy(update={"formats": clean.formats | {Path(SIGNATURE).suffix: 1}})
    assert passes(SafetyGate(), scans={"model": clean, "bundle": signed})
    assert not passes(SafetyGate(), scans={"model": signed, "bundle": signed})
    (tmp_path / "notes.txt").write_bytes(pickle.dumps(Evil()))
    with zipfile.ZipFile(tmp_path / "weights.bin", "w") as archive:
        archive.writestr("inner/data.pkl", pickle.dumps(Evil()))
    (tmp_path / "link.txt").symlink_to("/etc/passwd")
    dirty = scan_folder(tmp_path)
    assert set(dirty.dangerous) == {"notes.txt", "weights.bin", "link.txt"}
    assert not passes(SafetyGate(), scans={"model": dirty, "bundle": clean})
    assert not passes(SafetyGate(), scans={"model": clean})
    assert passes(SafetyGate(bundle=False), scans={"model": clean})
    strange = clean.model_copy(update={"formats": {".exe": 1}})
    assert "unexpected formats: .exe (1)" in SafetyGate().judge(EMPTY.model_copy(update={"scans": {"model": strange, "bundle": clean}}))[1].text  # fmt: skip
    harmless = clean.model_copy(update={"pickles": ["a.bin"]})
    assert passes(SafetyGate(), scans={"model": harmless, "bundle": clean})
    assert not passes(SafetyGate(), scans={"model": clean, "bundle": harmless})
    assert not passes(SafetyGate(), scans={"model": Scan(scanner="s", files=0, formats={}, pickles=[], dangerous=[])})


def test_prose_that_begins_like_a_pickle_is_no_pickle_and_a_broken_pickle_is_dangerous(tmp_path: Path) -> None:
    (tmp_path / "conda.yaml").write_text("channels:\n- conda-forge\ndependencies:\n- python=3.11\n")
    (tmp_path / "MLmodel").write_text("artifact_path: x\nflavors:\n  a: 1\n")
    clean = scan_folder(tmp_path)
    assert (clean.files, clean.dangerous, clean.pickles) == (2, [], [])
    (tmp_path / "broken.onnx").write_bytes(pickle.dumps(Path("x"))[:-1] + b"\xff")
    (tmp_path / "prose.txt").write_text("cos\nsystem\n(S'true'\ntR and then it breaks off\n")
    (tmp_path / "array.npy").write_bytes(b"\x93NUMPY\x09\x09 no such version")
    assert set(scan_folder(tmp_path).dangerous) == {"broken.onnx", "prose.txt", "array.npy"}


def test_a_card_lacks_what_nobody_measured() -> None:
    info = ModelInfo(trainer="torch", arch="x", framework="torch", labels=["a"], preprocess=Preprocess(size=8), dataset="d")
    bare = missing_from(write_card(Facts("hand/1", "d", None, None), info))
    assert bare == ["training cost", "results", "classes"]
    full = scored([1], [1])
    assert missing_from(write_card(Facts("hand/1", "d", full, Decimal("0.1")), info)) == []
    assert passes(CardGate(), card_missing=[])
    assert not passes(CardGate(), card_missing=bare)


def test_an_approval_counts_from_another_person_only() -> None:
    ada, eve, bob = (Approval(actor=name, proven=name == "bob") for name in ("ada", "eve", "bob"))
    assert not passes(ApprovalGate(), author="ada", approvals=[ada, ada])
    assert passes(ApprovalGate(), author="ada", approvals=[eve])
    assert not passes(ApprovalGate(count=2), author="ada", approvals=[eve, eve])
    assert passes(ApprovalGate(count=2), author="ada", approvals=[eve, bob])
    assert not passes(ApprovalGate(proven=True), author="ada", approvals=[eve])
    assert passes(ApprovalGate(proven=True), author="ada", approvals=[bob])
    assert not passes(ApprovalGate(), author=None, approvals=[eve])


def test_serving_is_held_to_its_budget() -> None:
    gate = BudgetGate(train_usd=None, serve_usd_per_month=40)
    assert passes(gate, serve_usd_per_month=Decimal("36.5"))
    assert not passes(gate, serve_usd_per_month=Decimal("40.01"))
    assert not passes(gate, serve_usd_per_month=None, serve_quote="runpod, was not asked")


class Sunny(Record):
    """A gate of another package."""

    kind: str = "sunny"
    days: int = 1

    def judge(self, evidence: Evidence) -> list[Finding]:
        if self.days > 6:
            raise RuntimeError("clouds")
        return [Finding(gate="sunny", passed=self.days > 3, text="sun")] if self.days else []


@pytest.fixture
def sunny(monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        name = "sunny"

        def load(self) -> type[Sunny]:
            return Sunny

    monkeypatch.setattr("validation.gates.config.entry_points", lambda group, name=None: [Point()] if name in {None, "sunny"} else [])  # fmt: skip


def job(gate: dict[str, object]) -> object:
    raw = {"model": "hand", "train": [{"kind": "torch"}], "gates": {"staging": [gate]}}
    return parse_job(raw, "modelyard.yaml").gates.staging[0]


def test_a_gate_of_another_package_is_found_by_its_entry_point_and_cannot_pass_by_breaking(sunny: None) -> None:
    gate = job({"kind": "sunny", "days": 5})
    assert isinstance(gate, OtherGate)
    assert passes(gate)
    assert gate.model_dump() == {"kind": "sunny", "days": 5}
    assert not passes(job({"kind": "sunny", "days": 2}))
    assert not passes(job({"kind": "sunny", "days": 0}))  # says nothing
    assert not passes(job({"kind": "sunny", "days": 9}))  # breaks
    with pytest.raises(InputError, match="cannot be used"):
        job({"kind": "sunny", "days": "many"})


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ({"kind": "chanpion"}, "did you mean 'champion'"),
        ({"kind": "metric", "label": "a", "slice": "b"}, "not of both"),
        ({"kind": "metric", "label": "a"}, "not 'top1'"),
        ({"kind": "metric", "slice": "a", "name": "macro_f1"}, "a slice has top1"),
        ({}, "kind: is missing; add it"),
    ],
)
def test_a_gate_that_makes_no_sense_is_one_line(gate: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        job(gate)
    assert "\n" not in str(caught.value)
