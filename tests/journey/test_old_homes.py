"""A home made by an older version opens: it is read, verified and served, and a flipped byte in it is detected."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

sys.path.insert(0, str(Path(__file__).parent))
from old_ledger import KEY, key_id, witness_path

pytestmark = pytest.mark.journey

ROWS = 81
LABELS = ["blue", "green", "red"]
SURE = 0.909443  # softmax of 3, 0 and 0
OLD_WEBHOOK = "http://127.0.0.1:44309/webhook"
GLOVE = "policy_set promoted flipped approved promoted flipped deployed promoted flipped promoted flipped canary_started"
GLOVE += " canary_ended rolled_back flipped promoted undone blocked budget_overridden lost released archived archived"
HAND = [
    ("policy_set", "hand", None),
    ("promoted", "hand/1", "staging"),
    ("flipped", "hand/1", "staging"),
    ("promoted", "hand/1", "production"),
    ("flipped", "hand/1", "production"),
    ("deployed", "hand/1", "production"),
    ("promoted", "hand/2", "staging"),
    ("flipped", "hand/2", "staging"),
    ("refused", "hand/3", "staging"),
]
TRAINED = {"glove/1": "0.001000", "glove/2": "0.001000", "hand/1": "0.000319", "hand/2": "0.000209", "hand/3": "0.000139"}

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home as commit 861f1d7 left it, written in a separate process, because MLflow reads its settings once."""
    path = tmp_path_factory.mktemp("old") / "home"
    script = Path(__file__).with_name("old_home.py")
    written = subprocess.run(
        [sys.executable, str(script), str(path)], cwd=path.parent, capture_output=True, text=True, timeout=300
    )
    assert written.returncode == 0, written.stderr
    return path


@dataclass(frozen=True)
class Served:
    """The home while today's `up` runs on it."""

    home: Path
    mlflow: str


@pytest.fixture(scope="module")
def served(home: Path, up_module: Callable[..., Any]) -> Iterator[Served]:
    with up_module(home, "--no-dashboard") as (_, addresses):
        yield Served(home, addresses["mlflow"])


@pytest.fixture
def ask(home: Path, modelyard: Run) -> Callable[..., Any]:
    """The JSON that a command gives about the home."""

    def run(*arguments: str | Path) -> Any:
        completed = modelyard(*arguments, "--home", home, "--json")
        assert completed.returncode == 0, completed.stderr
        return json.loads(completed.stdout)

    return run


def test_the_chain_and_the_signatures_hold(ask: Callable[..., Any]) -> None:
    assert ask("ledger", "verify") == {"rows": ROWS, "holds": True}


def test_history_names_every_decision(ask: Callable[..., Any]) -> None:
    moments = ask("history", "hand")
    assert [(moment["what"], moment["ref"], moment["stage"]) for moment in moments] == HAND
    assert all(moment["counts"] for moment in moments)
    assert {moment["who"] for moment in moments} == {"ada (self-declared)", "modelyard"}
    evidence = [moment["evidence"].partition(",")[0] for moment in moments if moment["evidence"]]
    assert evidence == ["3 of 3 passed", "14 of 14 passed", "3 of 3 passed", "2 of 3 passed"]
    assert moments[-1]["text"].endswith("top1 0.3333 is below 0.6")
    assert moments[0]["at"] == "2026-11-24T09:00:00.324872Z"
    others = ask("history", "glove")
    assert " ".join(moment["what"] for moment in others) == GLOVE
    assert all(moment["counts"] for moment in others)


def test_costs_match_the_ledger(ask: Callable[..., Any]) -> None:
    report = ask("costs")
    assert {line["ref"]: line["usd"] for line in report["lines"] if line["what"] == "training"} == TRAINED
    assert report["training_usd"] == "0.003167"  # with the run that failed, as `costs --by` counts it
    others = [(line["what"], line["ref"], line["usd"]) for line in report["lines"] if line["what"] != "training"]
    assert others == [("failed training", "glove", "0.000500"), ("serving production", "hand/1", "36.50")]
    groups = {group["key"]: group for group in ask("costs", "--by", "model", "--month", "2026-10")["groups"]}
    assert list(groups) == ["glove"]
    # ten days at one cent an hour, of which one day was billed at half a dollar instead
    assert (groups["glove"]["serving_usd"], groups["glove"]["billed_usd"]) == ("2.660000", "0.50")
    assert (groups["glove"]["training_usd"], groups["glove"]["failed_usd"]) == ("0.002000", "0.000500")


def _public_key(folder: Path) -> Path:
    from cryptography.hazmat.primitives import serialization

    text = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "old.pub").write_bytes(text)
    return folder / "old.pub"


def test_evidence_is_checked_with_the_public_key_alone(home: Path, modelyard: Run, tmp_path: Path) -> None:
    files = list((home / "artifacts").rglob("evidence.json"))
    assert len(files) == 4
    whole = modelyard("verify", "--evidence", files[0], "--public-key", _public_key(tmp_path))
    assert whole.returncode == 0, whole.stderr
    assert whole.stdout.startswith("verified: hand/")
    forged = tmp_path / "evidence.json"
    forged.write_text(files[0].read_text().replace('\\"actor\\":\\"ada\\"', '\\"actor\\":\\"bob\\"'))
    refused = modelyard("verify", "--evidence", forged, "--public-key", tmp_path / "old.pub")
    assert refused.returncode == 2
    assert "changed after it was written" in refused.stderr


@pytest.fixture
def copied(home: Path, tmp_path: Path) -> Path:
    """A copy of the ledger and the keys, to be damaged."""
    other = tmp_path / "copied"
    shutil.copytree(home / "keys", other / "keys")
    witness_path(other).write_bytes(witness_path(home).read_bytes())
    with sqlite3.connect(home / "ledger.db") as source, sqlite3.connect(other / "ledger.db") as target:
        source.backup(target)  # what lies in its write-ahead log too
    return other


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (None, ""),
        (
            "update ledger set body = replace(body, '0.000319', '0.000318') where seq = 42",
            "ledger row 42: its hash does not follow",
        ),
        (
            "update ledger set signature = iif(signature like 'A%', 'B', 'A') || substr(signature, 2) where seq = 42",
            "ledger row 42: its signature",
        ),
        ("delete from ledger where seq > 80", "ledger row 81: is missing"),
    ],
)
def test_a_flipped_byte_in_a_row_is_detected(copied: Path, modelyard: Run, damage: str | None, complaint: str) -> None:
    if damage:
        with sqlite3.connect(copied / "ledger.db") as database:
            for name in ("update", "delete"):
                database.execute(f"drop trigger ledger_no_{name}")
            assert database.execute(damage).rowcount == 1
    checked = modelyard("ledger", "verify", "--home", copied)
    assert checked.returncode == (2 if damage else 0), checked.stderr
    assert complaint in checked.stderr


def _added(home: Path) -> list[tuple[str, str, int]]:
    """Rows that were added to the old ledger."""
    with sqlite3.connect(home / "ledger.db") as database:
        return database.execute("select kind, model, version from ledger where seq > ? order by kind", (ROWS,)).fetchall()


def test_up_serves_the_production_version(served: Served, ask: Callable[..., Any], eventually: Callable[..., None]) -> None:
    eventually(lambda: ("deployed", "hand", 1) in _added(served.home))
    rows = ask("status")
    assert [(row["ref"], row["stage"], row["trainer"]) for row in rows] == [
        ("hand/3", "none", "torch"),
        ("hand/2", "staging", "torch"),
        ("hand/1", "production", "torch"),
    ]
    assert [row["top1"] for row in rows] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert [row["note"] for row in rows] == ["hand/3 refused for staging: top1 0.3333 is below 0.6", None, None]
    assert [row["endpoint"] for row in rows[:2]] == [None, None]
    assert rows[2]["endpoint"].startswith("http://127.0.0.1:")
    pictures = [served.home / "datasets" / "hand" / "test" / label / "clip3-00000.jpg" for label in LABELS]
    answers = ask("predict", "hand@production", *pictures)
    assert [answer["label"] for answer in answers] == LABELS
    assert [answer["probability"] for answer in answers] == pytest.approx([SURE] * 3, abs=0.01)
    assert {answer["served_by"] for answer in answers} == {f"hand/1 at {rows[2]['endpoint']}"}


def test_nothing_is_decided_again(served: Served, ask: Callable[..., Any], eventually: Callable[..., None]) -> None:
    """Today's `up` adds that the endpoint answers elsewhere and that the killed run was paid for, and no more."""
    eventually(lambda: len(_added(served.home)) >= 2)
    assert ask("reconcile")["acted"] == []
    assert _added(served.home) == [("deployed", "hand", 1), ("training_failed", "hand", 0)]
    assert ask("ledger", "verify") == {"rows": ROWS + 2, "holds": True}
    groups = {group["key"]: group for group in ask("costs", "--by", "model")["groups"]}
    assert groups["hand"]["failed_usd"] == "0.000500"  # 36 s at five cents an hour
    assert not list((served.home / "underway").iterdir())


def test_the_old_webhook_is_replaced(served: Served, eventually: Callable[..., None]) -> None:
    """The secret that the last `up` gave to MLflow is decrypted with the home's key, else MLflow lists none."""

    def hooks() -> list[tuple[str, bool]]:
        listed = requests.get(f"{served.mlflow}/api/2.0/mlflow/webhooks", timeout=30).json().get("webhooks", [])
        return [(hook["name"], hook["url"] == OLD_WEBHOOK) for hook in listed]

    eventually(lambda: hooks() == [("modelyard-reconciler", False)])


def test_verify_finds_the_bytes_that_were_judged(served: Served, ask: Callable[..., Any], modelyard: Run) -> None:
    verified = ask("verify", "hand/1")
    facts = {"ref": "hand/1", "stage": "production", "ratified_by": "ada (self-declared)", "files": 8, "signer": key_id()}
    assert facts.items() <= verified.items()
    weights = next(path for path in (served.home / "artifacts").rglob("model.pt2") if "version 2" in path.read_text())
    whole = weights.read_bytes()
    try:
        weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        flipped = modelyard("verify", "hand/2", "--home", served.home)
    finally:
        weights.write_bytes(whole)
    assert flipped.returncode == 2
    assert "hand/2: file 'data/model.pt2' differs" in flipped.stderr
