"""Evidence that travels, and a history that tells what happened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipelines.home import Home
from pipelines.promotion.publish import report
from pipelines.promotion.verify import verify, verify_evidence
from registry.digests import digest_of, manifest_of
from registry.errors import IntegrityError, NotFoundError
from registry.events import PolicySet, Promoted, Refused, about
from registry.opening import ledger_of
from registry.records import Evidence, Finding, ModelVersion, Proof
from registry.refs import Ref
from registry.reports.history import history
from registry.settings import Settings
from registry.signing import open_keyring, public_text
from registry.stages import Stage


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "data").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}")
    (folder / "data" / "weights.bin").write_bytes(b"12")
    return folder


def ratify(settings: Settings, files: Path, actor: str = "<b>ada</b>") -> Promoted:
    manifest = manifest_of(files)
    key = about(ModelVersion("hand", 3, 7), digest_of(manifest))
    proof = Proof(manifest=manifest, dataset="d", policy=[{"kind": "x"}], policy_hash="p", evidence=Evidence(**key), tools={"python": "3"})  # fmt: skip
    fields = {"actor": actor, "findings": [Finding(gate="x", passed=True, text="1 < 2 & fine")], "proof": proof}
    event = Promoted(**key, stage=Stage.PRODUCTION, previous=2, **fields)
    ledger_of(settings).append(event)
    return event


def public_key(settings: Settings, to: Path) -> Path:
    own = open_keyring(settings.key, settings.trusted).own
    assert own is not None
    to.write_text(public_text(own.public_key()))
    return to


def test_a_version_is_verified_from_ledger_public_key_and_bytes_alone(settings: Settings, files: Path, tmp_path: Path) -> None:
    ratify(settings, files)
    key = public_key(settings, tmp_path / "key.pub")
    result = verify(settings, Home(settings).store, Ref("hand", 3), files, key)
    assert (result.ref, result.files, result.row) == ("hand/3", 2, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "data" / "weights.bin").write_bytes(b"13"), "file 'data/weights.bin' differs"),
        (lambda folder: (folder / "MLmodel").unlink(), "file 'MLmodel' is missing"),
        (lambda folder: (folder / "a.py").write_text("x"), "file 'a.py' was not there"),
    ],
)
def test_the_first_thing_that_differs_is_named(settings: Settings, files: Path, change: object, message: str) -> None:
    ratify(settings, files)
    change(files)
    with pytest.raises(IntegrityError, match=message):
        verify(settings, Home(settings).store, Ref("hand", 3), files, None)


def test_another_key_verifies_nothing(settings: Settings, files: Path, tmp_path: Path) -> None:
    ratify(settings, files)
    stranger = public_key(Settings(home=tmp_path / "other"), tmp_path / "other.pub")
    with pytest.raises(IntegrityError, match=r"row 1: it is signed by key .* not trusted here"):
        verify(settings, Home(settings).store, Ref("hand", 3), files, stranger)
    with pytest.raises(NotFoundError, match="was never ratified"):
        verify(settings, Home(settings).store, Ref("hand", 4), files, None)


def test_evidence_from_mlflow_is_checked_with_the_public_key_alone(settings: Settings, files: Path, tmp_path: Path) -> None:
    ratify(settings, files)
    entry = ledger_of(settings).entries()[0]
    path, key = tmp_path / "evidence.json", public_key(settings, tmp_path / "key.pub")
    path.write_text(json.dumps(entry.envelope))
    assert verify_evidence(path, key).event == entry.event
    path.write_text(json.dumps({**entry.envelope, "body": str(entry.envelope["body"]).replace("fine", "best")}))
    with pytest.raises(IntegrityError, match="changed after it was written"):
        verify_evidence(path, key)


def test_the_report_reads_well_escapes_what_people_typed_and_says_whose_name_nobody_checked(
    settings: Settings, files: Path
) -> None:
    event = ratify(settings, files)
    page = report(ledger_of(settings).entries()[0], event)
    assert "hand/3 for production: passed" in page
    assert "1 &lt; 2 &amp; fine" in page
    assert "<b>ada" not in page
    assert "self-declared" in page
    assert "data/weights.bin" in page


def test_history_tells_who_when_from_where_and_what_does_not_count(settings: Settings, files: Path) -> None:
    ledger = ledger_of(settings)
    ledger.append(PolicySet(model="hand", actor="ada", job={}, policy_hash="0" * 64))
    event = ratify(settings, files, "ada")
    ledger.append(Refused(**event.subject, stage=Stage.STAGING, actor="eve", findings=[], proven=True))
    from registry.ledger.store import open_ledger

    open_ledger(settings.ledger.get_secret_value()).append(event)  # without the key
    lines = history(ledger.entries("hand"), "hand")
    assert [(line.what, line.who, line.was, line.counts) for line in lines] == [
        ("policy_set", "ada (self-declared)", None, True),
        ("promoted", "ada (self-declared)", "hand/2", True),
        ("refused", "eve", None, True),
        ("promoted", "ada (self-declared)", "hand/2", False),
    ]
    assert "does not count: it is not signed" in lines[-1].text
    with pytest.raises(NotFoundError):
        history(ledger.entries("foot"), "foot")
