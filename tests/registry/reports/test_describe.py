"""Descriptions for MLflow's pages: what they say, and that a person's words are never touched."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.events import Evaluated, Exported, Flipped, Promoted, Quoted, Trained
from registry.memory import MemoryLedger
from registry.records import ClassScore, Evaluation, Latency, ModelVersion, ParityFigures
from registry.reports.describe import describe_model, describe_version
from registry.reports.markdown import MOST_CHARACTERS, merged
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
    text = describe_version(ledger.entries(), ModelVersion("hand", 3, 3), RUN)
    lines = text.splitlines()
    assert lines[0] == "top-1 0.950 (0.910 to 0.980)"
    assert len(lines[0]) <= 32  # what MLflow's list of versions shows of it
    assert lines[2] == (
        r"Classifier of 2 classes: cup, box\|\<b\>. Trained by torch as run torch efficientnet\_lite0 224 frozen,"
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
    lines = describe_model(ledger.entries(), "hand").splitlines()
    assert lines[0] == r"Classifier of 2 classes: cup, box\|\<b\>"
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


def test_two_hundred_classes_and_long_names_fit_what_mlflow_holds() -> None:
    ledger = MemoryLedger()
    for number in range(1, 60):
        train(ledger, number)
        evaluate(ledger, number, 0.9, tuple(f"class {index} {'x' * 200}" for index in range(200)))
    for text in (describe_model(ledger.entries(), "hand"), describe_version(ledger.entries(), ModelVersion("hand", 9, 9), RUN)):
        assert merged("", text) is not None


def test_our_part_is_brought_up_to_date_and_what_is_around_it_stays() -> None:
    first = merged("", "one\n\ntwo")
    assert first is not None
    assert merged(first, "one\n\ntwo") is None
    assert merged(first, "three").startswith("three\n")  # type: ignore[union-attr]
    around = f"Ask ada first.\r\n\r\n{first}\n\nSee the wiki."
    assert merged(around, "one\n\ntwo") is None
    second = merged(around, "three")
    assert second is not None
    assert second.startswith("Ask ada first.\n\nthree\n")
    assert second.endswith("\n\nSee the wiki.")
    assert "two" not in second


@pytest.mark.parametrize(
    "text",
    [
        "A hand.",
        "x\n<!-- written by modelyard 000000000000 1; edit it, and it is yours -->",
        "<!-- written by modelyard 000000000000 99; edit it, and it is yours -->",
    ],
)
def test_a_persons_own_description_is_never_overwritten(text: str) -> None:
    assert merged(text, "ours") is None


@given(st.text(max_size=40), st.text(max_size=40), st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_whatever_a_person_writes_around_our_part_or_into_it_stays(before: str, after: str, ours: str, next_: str) -> None:
    written = merged("", ours)
    assert written is not None
    kept = merged(f"{before}{written}{after}", next_)
    if kept is not None:
        assert kept.startswith(before.replace("\r\n", "\n"))
        assert kept.endswith(after.replace("\r\n", "\n"))
        assert next_ in kept
    if not f"{ours}!".endswith(ours):  # else it is a person's "!" in front of our part as it was
        assert merged(written.replace(ours, f"{ours}!", 1), next_) is None


def test_a_part_that_does_not_fit_is_not_written() -> None:
    assert merged("", "x" * MOST_CHARACTERS) is None
    first = merged("", "x") or ""
    assert merged("y" * (MOST_CHARACTERS - len(first)) + first, "x" * 40) is None
