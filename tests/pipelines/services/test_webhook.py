"""The webhook rings once, for signed and fresh deliveries only; its secrets are private."""

from __future__ import annotations

import base64
import hashlib
import hmac

from pydantic import SecretStr
from starlette.testclient import TestClient

from pipelines.services.webhook import Doorbell, encryption_key, make_app, secret_of
from registry.settings import Settings

SECRET = hashlib.sha256(b"test").hexdigest()


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
