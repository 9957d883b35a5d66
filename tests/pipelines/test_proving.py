"""Webhooks, identity, evidence that travels, and a history that tells what happened."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from pipelines.home import Home
from pipelines.identity import whoami
from pipelines.promotion.publish import report
from pipelines.promotion.verify import verify, verify_evidence
from pipelines.services.webhook import Doorbell, encryption_key, make_app, secret_of
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

SECRET = hashlib.sha256(b"test").hexdigest()


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
    result = verify(Home(settings), Ref("hand", 3), files, key)
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
        verify(Home(settings), Ref("hand", 3), files, None)


def test_another_key_verifies_nothing(settings: Settings, files: Path, tmp_path: Path) -> None:
    ratify(settings, files)
    stranger = public_key(Settings(home=tmp_path / "other"), tmp_path / "other.pub")
    with pytest.raises(IntegrityError, match=r"row 1: it is signed by key .* not trusted here"):
        verify(Home(settings), Ref("hand", 3), files, stranger)
    with pytest.raises(NotFoundError, match="was never ratified"):
        verify(Home(settings), Ref("hand", 4), files, None)


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


def test_a_webhook_rings_once_and_only_when_it_is_signed_and_fresh(settings: Settings) -> None:
    rung, clock = [], [1_000_000.0]
    bell = Doorbell(SecretStr(SECRET), lambda: rung.append(1), lambda: clock[0])
    client = TestClient(make_app(bell))

    def send(delivery: str, stamp: int, body: bytes = b"{}", secret: str = SECRET, signed: bytes | None = None) -> int:
        content = f"{delivery}.{stamp}.".encode() + (signed or body)
        mac = base64.b64encode(hmac.new(secret.encode(), content, hashlib.sha256).digest()).decode()
        names = {"X-MLflow-Delivery-Id": delivery, "X-MLflow-Timestamp": str(stamp), "X-MLflow-Signature": f"v1,{mac}"}
        return client.post("/webhook", content=body, headers=names).status_code

    assert send("a", 1_000_000) == 202
    assert send("a", 1_000_000) == 200
    assert send("b", 1_000_000, secret="guess") == 401
    assert send("c", 1_000_000, body=b"{1}", signed=b"{2}") == 401
    assert send("d", 1_000_000 - 301) == 401
    assert send("e", 1_000_000 + 301) == 401
    assert client.post("/webhook", content=b"{}").status_code == 400
    assert client.get("/webhook").status_code == 405
    assert client.post("/webhook", content=b"x" * 1_000_001).status_code == 413
    assert rung == [1]


def test_secrets_are_kept_for_their_owner_alone_and_not_shown(settings: Settings) -> None:
    secret = secret_of(settings)
    assert secret_of(settings) == secret
    assert secret.get_secret_value() not in repr(secret)
    assert encryption_key(settings.home) == encryption_key(settings.home)
    for name in ("webhook.secret", "webhook.fernet"):
        assert (settings.home / "keys" / name).stat().st_mode & 0o077 == 0
    given = SecretStr("given")
    assert secret_of(Settings(home=settings.home, webhook_secret=given)) == given


def test_without_a_server_that_knows_better_a_name_is_self_declared(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert whoami(settings, "eve") == ("eve", False)
    assert whoami(settings).proven is False
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "eve")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "x")
    away = Settings(home=settings.home, mlflow_uri="http://127.0.0.1:9")
    began = time.monotonic()
    assert whoami(away) == whoami(settings.model_copy(update={"mlflow_uri": "http://127.0.0.1:9"}))
    assert whoami(away).proven is False
    assert time.monotonic() - began < 10
