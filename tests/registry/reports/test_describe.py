"""Descriptions for MLflow's pages: what they say, and that a person's words are never touched."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.events import Deployed, Evaluated, Exported, Flipped, Promoted, Published, Quoted, Refused, Trained
from registry.memory import MemoryLedger
from registry.records import ClassScore, Evaluation, Finding, Latency, ModelVersion, ParityFigures
from registry.reports.attempts import describe_attempt, newest_attempts
from registry.reports.describe import describe_model, describe_version
from registry.reports.describe_run import describe_broken_run, describe_run
from registry.reports.markdown import merged
from registry.spending import TrainingFailed
from registry.stages import Stage

RUN = {"mlflow.runName": "torch efficientnet_lite0 224 frozen", "modelyard.dataset": "hand@2"}


def key(number: int) -> dict[str, Any]:
    return {"model": "hand", "version": number, "created_ms": number, "digest": f"{number:064d}"}


def train(ledger: MemoryLedger, number: int) -> None:
    spent = {"seconds": 35.2, "hardware": "local: 2 cores", "usd": Decimal("0.0004"), "price_as_of": "2026-11-23"}
    ledger.append(Trained(**key(number), trainer="torch", run_id=f"r{number}", dataset="d" * 64, **spent))


def evaluate(ledger: MemoryLedger, number: int, top1: float, labels: tuple[str, ...] = ("cup", "box|<b>")) -> None:
    classes = [
        ClassScore(label=label, precision=0.9, recall=0.8 + index / 10, f1=0.85, support=9)
        for index, label in enumerate(labels)
    ]
    evaluation = Evaluation(
        dataset="d" * 64, split="test", images=214, clips=40, metrics={"top1": top1}, interval=(top1 - 0.04, top1 + 0.03),
        classes=classes, confusion=[[0] * len(labels)] * len(labels),
    )  # fmt: skip
    ledger.append(Evaluated(**key(number), evaluation=evaluation))


def promote(ledger: MemoryLedger, number: int) -> None:
    fields = {**key(number), "stage": Stage.PRODUCTION, "previous": None, "actor": "ada"}
    ledger.append(Promoted(**fields, findings=[]))
    ledger.append(Flipped(**fields))


def lines_of(text: str) -> list[str]:
    """A text's lines, without the space that its tables have between cells."""
    return text.replace("&ensp;", "").splitlines()


def refuse(ledger: MemoryLedger, number: int, stage: Stage = Stage.PRODUCTION) -> None:
    findings = [
        Finding(gate="metric", passed=False, text="top1 0.8 is below 0.9", figure=0.8, limit=0.9),
        Finding(gate="size", passed=True, text="bundle 3 MB is at most 40 MB", figure=3, limit=40),
    ]
    refused = Refused(**key(number), stage=stage, actor="ada", findings=findings, advice="more clips of 'box|<b>'")
    row = ledger.append(refused)
    ledger.append(Published(**key(number), row=row.seq, run_id="e" * 32))


def deploy(ledger: MemoryLedger, number: int, target: str, url: str, most: str | None = None) -> None:
    fields = {"target": target, "url": url, "bundle": "b", "usd_per_month": Decimal("12.5"), "price_as_of": "2026-11-23"}
    capped = Decimal(most) if most else None
    ledger.append(Deployed(**key(number), stage=Stage.PRODUCTION, **fields, smoke_images=3, max_usd_per_month=capped))


def test_a_version_says_what_it_is_how_good_it_is_what_it_cost_and_how_to_use_it() -> None:
    ledger = MemoryLedger()
    train(ledger, 3)
    assert describe_version(ledger.entries(), ModelVersion("hand", 3, 3), RUN).startswith("not evaluated yet\n")
    evaluate(ledger, 3, 0.95)
    ledger.append(Quoted(**key(3), stage=Stage.PRODUCTION, target="runpod", usd_per_month=Decimal("1234.50"), price_as_of="x"))
    parity = {
        "images": 9,
        "top1_agreement": 1,
        "max_abs_diff": 0,
        "mean_abs_diff": 0,
        "control_agreement": 0,
        "control_max_abs_diff": 1,
    }
    ledger.append(
        Exported(
            **key(3),
            bundle="b",
            path="p",
            megabytes=3.14,
            latency=Latency(p50_ms=9, p95_ms=12, first_ms=20, requests=9),
            parity=[ParityFigures(variant="onnx", **parity), ParityFigures(variant="tfjs", kept=False, **parity)],
        )
    )
    lines = lines_of(describe_version(ledger.entries(), ModelVersion("hand", 3, 3), RUN))
    assert lines[0] == "top-1 0.950 (0.910 to 0.980)"
    assert len(lines[0]) <= 32  # what MLflow's list of versions shows of it
    assert lines[2] == (
        r"Classifier of 2 classes: cup, box\|&#60;b&#62;. Trained by torch as run torch efficientnet\_lite0 224 frozen,"
        " on data set hand@2 (dddddddddddd)."
    )
    assert "| score | top-1 0.950 (0.910 to 0.980), on 214 test images of 40 clips |" in lines
    assert "| weakest class | cup: recall 0.800, precision 0.900 |" in lines
    assert "| training | 35 s on local: 2 cores, $0.0004 |" in lines
    assert "| serving at production | $1,234.50 a month on runpod, quoted |" in lines
    assert "| exported | onnx: 3.1 MB, p95 12 ms a picture |" in lines
    assert "- Try it: `modelyard predict hand/3 PICTURE`" in lines


def test_a_model_lists_its_versions_with_scores_and_the_stage_they_hold() -> None:
    ledger = MemoryLedger()
    assert "not evaluated" in describe_model(ledger.entries(), "hand")
    for number in range(1, 30):
        train(ledger, number)
        if number in {1, 29}:
            evaluate(ledger, number, 0.9)
    promote(ledger, 1)
    lines = lines_of(describe_model(ledger.entries(), "hand"))
    assert lines[0] == r"Classifier of 2 classes: cup, box\|&#60;b&#62;"
    versions = [line for line in lines if line.startswith("| ") and line[2].isdigit()]
    assert versions[0] == "| 29 |  | top-1 0.900 (0.860 to 0.930) | torch | 35 s, $0.0004 |"
    assert versions[-1] == "| 1 | production | top-1 0.900 (0.860 to 0.930) | torch | 35 s, $0.0004 |"
    assert len(versions) == 16
    assert "and 13 older versions" in lines


def test_what_was_only_registered_says_so_and_whatever_score_it_has() -> None:
    ledger = MemoryLedger()
    evaluate(ledger, 1, 0.9)
    text = describe_version(ledger.entries(), ModelVersion("hand", 1, 1), {})
    assert text.startswith("top-1 0.900")
    assert "nobody here saw its training" in text
    assert describe_version([], ModelVersion("hand", 1, 1), {}).startswith("not evaluated yet")


def test_a_version_says_what_each_stages_gates_said_last_and_why() -> None:
    ledger = MemoryLedger()
    train(ledger, 3)
    evaluate(ledger, 3, 0.8)
    refuse(ledger, 3, Stage.STAGING)
    promote(ledger, 3)
    refuse(ledger, 3)
    refuse(ledger, 4)
    lines = lines_of(describe_version(ledger.entries(), ModelVersion("hand", 3, 3), RUN))
    rows = [line for line in lines if "✗ refused" in line or "✓ passed" in line]
    assert [row.partition(" |")[0] for row in rows] == ["| staging", "| production"]
    why = r"top1 0.8 is below 0.9. What would help most: more clips of 'box\|&#60;b&#62;'. "
    assert all(row.endswith(f"{why}[report](#/runs/{'e' * 32}) |") for row in rows)
    promote(ledger, 3)
    lines = lines_of(describe_version(ledger.entries(), ModelVersion("hand", 3, 3), RUN))
    assert len([line for line in lines if line.startswith("| production | ✓ passed 20")]) == 1
    assert "| stage | production |" in lines
    assert not [line for line in lines if "modelyard promote" in line], "there is no stage above it"


@pytest.mark.parametrize(
    ("target", "url", "asked"),
    [
        ("local", "http://127.0.0.1:8080", ": `curl --data-binary @PICTURE http://127.0.0.1:8080/predict`"),
        ("runpod", "https://x.api.runpod.ai/", ': `curl -H "Authorization: Bearer $ENDPOINT_KEY" --data-binary @PICTURE https://x.api.runpod.ai/predict`'),
        ("runpod", "https://api.runpod.ai/v2/x/runsync", ""),
        ("mine", "https://mine.example", ""),
    ],
)  # fmt: skip
def test_a_deployed_version_says_where_it_answers_and_how_it_is_asked(target: str, url: str, asked: str) -> None:
    ledger = MemoryLedger()
    train(ledger, 3)
    promote(ledger, 3)
    deploy(ledger, 3, target, url)
    text = describe_version(ledger.entries(), ModelVersion("hand", 3, 3), RUN)
    assert f"- Its endpoint for production on {target}, `{url.rstrip('/')}`{asked}" in text.splitlines()
    deploy(ledger, 3, target, "javascript:`x`")
    assert "Its endpoint" not in describe_version(ledger.entries(), ModelVersion("hand", 3, 3), RUN)


def test_a_version_shows_the_plots_that_its_run_has() -> None:
    ledger = MemoryLedger()
    train(ledger, 3)
    evaluate(ledger, 3, 0.8)
    version = ModelVersion("hand", 3, 3, run_id="a" * 32)
    files = ["plots/curves.png", "plots/mistakes_test.jpg", "plots/confusion_val.png"]
    pictures = [line for line in describe_version(ledger.entries(), version, RUN, files).splitlines() if line.startswith("![")]
    assert pictures == [f"![Mistakes, the surest first](get-artifact?path=plots%2Fmistakes_test.jpg&run_uuid={'a' * 32})"]
    assert "![" not in describe_version(ledger.entries(), ModelVersion("hand", 3, 3), RUN, files)


def test_a_model_says_what_serves_production_why_and_what_it_costs() -> None:
    ledger = MemoryLedger()
    train(ledger, 1)
    evaluate(ledger, 1, 0.9)
    refuse(ledger, 1)
    lines = lines_of(describe_model(ledger.entries(), "hand"))
    assert "| in production | no version |" in lines
    assert [line for line in lines if line.startswith("| newest attempt | version 1, ✗ refused")]
    promote(ledger, 1)
    deploy(ledger, 1, "runpod", "https://x.api.runpod.ai", "80")
    train(ledger, 2)
    refuse(ledger, 2)
    lines = lines_of(describe_model(ledger.entries(), "hand"))
    assert "| in production | version 1, top-1 0.900 (0.860 to 0.930) |" in lines
    assert [line for line in lines if line.startswith("| its gates | ✓ passed 20")]
    assert [
        line
        for line in lines
        if line.startswith("| newest attempt | version 2, ✗ refused 20") and "top1 0.8 is below 0.9" in line
    ]
    assert "| cost | $12.50 a month on runpod, at most $80.00 |" in lines
    assert "| endpoint | `https://x.api.runpod.ai` |" in lines


def test_the_run_of_an_attempt_says_the_verdict_first_then_what_failed() -> None:
    ledger = MemoryLedger()
    refuse(ledger, 3)
    text = describe_attempt(newest_attempts(ledger.entries())[0])
    lines = lines_of(text)
    assert lines[0] == "**hand/3 for production: refused** by 1 of 2 checks"
    assert lines[2] == r"What would help most: more clips of 'box\|&#60;b&#62;'"
    gates = [line for line in lines if line.startswith(("| ✗", "| ✓"))]
    assert gates == [
        "| ✗ | metric | 0.8 | 0.9 | top1 0.8 is below 0.9 |",
        "| ✓ | size | 3 | 40 | bundle 3 MB is at most 40 MB |",
    ]
    assert "- What would fix it: `modelyard train`" in lines
    promote(ledger, 4)
    assert describe_attempt(newest_attempts(ledger.entries())[0]).startswith("**hand/4 for production: passed** all 0 checks")


def test_a_run_says_what_it_trained_what_came_of_it_and_what_is_next() -> None:
    ledger, version = MemoryLedger(), ModelVersion("hand", 3, 3)
    assert describe_run(ledger.entries(), version, RUN) == ""
    train(ledger, 3)
    text = describe_run(ledger.entries(), version, RUN)
    assert text.startswith("**not evaluated yet**\n\nTrained by torch on data set hand@2 (dddddddddddd). It became hand/3.")
    assert "- Next: `modelyard evaluate hand/3`" in text
    evaluate(ledger, 3, 0.95)
    lines = lines_of(describe_run(ledger.entries(), version, RUN | {"modelyard.dataset": "[x](http://evil)"}))
    assert lines[0] == "**top-1 0.950 (0.910 to 0.980)**"
    assert r"on data set \[x\](http&#58;//evil) (dddddddddddd)" in lines[2]
    assert "| training | 35 s on local: 2 cores, $0.0004 |" in lines
    assert "- Next: `modelyard gates hand/3 staging`" in lines


def test_a_run_that_broke_off_says_why_what_it_cost_and_how_it_goes_on() -> None:
    spent = {"seconds": 35.2, "hardware": "local", "usd": Decimal("0.5"), "price_as_of": "x"}
    event = TrainingFailed(model="hand", trainer="torch", run_id="r9", **spent, reason="loss: became NaN in <step> 7")
    text = describe_broken_run(event, "r9", RUN, resumable=True)
    assert text.startswith("**Ended without a version** after 35 s ($0.5 on local): loss: became NaN in &#60;step&#62; 7")
    assert "Trained by torch on data set hand@2." in text
    assert text.endswith("`modelyard train --resume r9`")
    text = describe_broken_run(None, "r9", RUN, resumable=False)
    assert "its process ended before it could say why" in text
    assert "--resume" not in text


NAMES = st.text(min_size=1, max_size=120) | st.just("@`|<" * 60)


@given(NAMES, st.lists(NAMES, min_size=1, max_size=40), st.text(max_size=600) | st.just("<|>" * 300))
def test_whatever_things_are_called_the_page_fits_what_mlflow_holds(name: str, labels: list[str], reason: str) -> None:
    ledger = MemoryLedger()
    train(ledger, 3)
    evaluate(ledger, 3, 0.9, tuple(labels))
    for stage in (Stage.STAGING, Stage.PRODUCTION):
        findings = [Finding(gate=name, passed=False, text=reason, figure=1.0)] * 30
        ledger.append(Refused(**key(3), stage=stage, actor=name, findings=findings, advice=reason))
    run = {"mlflow.runName": name, "modelyard.dataset": name}
    version = ModelVersion("hand", 3, 3, run_id="a" * 32)
    failed = TrainingFailed(model="hand", trainer=name, run_id="r9", seconds=1, hardware=name, usd=Decimal(1), price_as_of="x", reason=reason)  # fmt: skip
    texts = [
        describe_version(ledger.entries(), version, run, ["plots/confusion_test.png"]),
        describe_model(ledger.entries(), "hand"),
        describe_run(ledger.entries(), version, run),
        describe_broken_run(failed, "r9", run, resumable=True),
        describe_attempt(newest_attempts(ledger.entries())[0]),
    ]
    for text in texts:
        assert merged("", text) is not None
        assert "<" not in text.replace("<!--", "")


def test_two_hundred_classes_and_long_names_fit_what_mlflow_holds() -> None:
    ledger = MemoryLedger()
    for number in range(1, 60):
        train(ledger, number)
        evaluate(ledger, number, 0.9, tuple(f"class {index} {'x' * 200}" for index in range(200)))
    for text in (describe_model(ledger.entries(), "hand"), describe_version(ledger.entries(), ModelVersion("hand", 9, 9), RUN)):
        assert merged("", text) is not None
