"""Listening for MLflow's webhooks. One only wakes the reconciler: a lost, doubled or forged one changes nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from registry.address import mlflow_address
from registry.errors import DamagedFileError, InputError, MissingFileError
from registry.files import create_once, read_text

if TYPE_CHECKING:
    from registry.settings import Settings

_HOST = "127.0.0.1"
_WINDOW_S = 300.0
_REMEMBERED = 10_000
_LARGEST = 1_000_000
_SHORTEST = 44
"""Characters of a secret that is whole: 32 bytes in base64; in hex they are 64."""
PATH = "/webhook"


@dataclass
class Doorbell:
    """Checks a delivery as MLflow signs it, and rings once for each."""

    secret: SecretStr
    ring: Callable[[], None]
    clock: Callable[[], float] = time.time
    _seen: OrderedDict[str, None] = field(default_factory=OrderedDict[str, None])

    def receive(self, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """The status to answer with, and why: 202 for a delivery that counts, 200 for one that came before."""
        delivery, stamp = headers.get("x-mlflow-delivery-id", ""), headers.get("x-mlflow-timestamp", "")
        if not delivery or not stamp.isdigit():
            return 400, "no delivery id or timestamp"
        if not self._signed(headers.get("x-mlflow-signature", ""), delivery, stamp, body):
            return 401, "wrong signature"
        if abs(self.clock() - int(stamp)) > _WINDOW_S:
            return 401, "too old, or from the future"
        if delivery in self._seen:
            return 200, "seen before"
        self._seen[delivery] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        self.ring()
        return 202, "accepted"

    def _signed(self, signature: str, delivery: str, stamp: str, body: bytes) -> bool:
        payload = f"{delivery}.{stamp}.".encode() + body
        right = hmac.new(self.secret.get_secret_value().encode(), payload, hashlib.sha256).digest()
        return hmac.compare_digest(signature.encode(), b"v1," + base64.b64encode(right))


def make_app(doorbell: Doorbell) -> Starlette:
    """The receiver's one route."""

    async def receive(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST:
                return JSONResponse({"said": "too large"}, 413)
        status, why = doorbell.receive(request.headers, body)
        return JSONResponse({"said": why}, status)

    return Starlette(routes=[Route(PATH, receive, methods=["POST"])])


def listen(settings: Settings, port: int, ring: Callable[[], None]) -> str:
    """Answer webhooks in a thread of this process; the address."""
    doorbell = Doorbell(secret_of(settings), ring)
    door = socket.socket()
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((_HOST, port))
    except OSError as error:
        raise InputError(f"port {port}", "is taken", "choose another with --webhook-port") from error
    server = uvicorn.Server(uvicorn.Config(make_app(doorbell), log_level="warning"))
    threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True, name="webhook").start()
    return f"http://{_HOST}:{door.getsockname()[1]}{PATH}"


def subscribe(settings: Settings, address: str) -> None:
    """Ask MLflow to send its webhooks there, instead of to whoever asked before."""
    from registry.mlflow.webhooks import subscribe as ask

    ask(mlflow_address(settings), address, secret_of(settings))


def secret_of(settings: Settings) -> SecretStr:
    """What webhooks are signed with: as set, or the home's own, made on first use."""
    if settings.webhook_secret:
        return settings.webhook_secret
    return _kept(settings.home / "keys" / "webhook.secret", lambda: secrets.token_hex(32))


def encryption_key(home: Path) -> SecretStr:
    """What an MLflow server of ours keeps webhooks' secrets encrypted with; without one it does not deliver (mlflow#19896)."""
    return _kept(home / "keys" / "webhook.fernet", lambda: base64.urlsafe_b64encode(secrets.token_bytes(32)).decode())


def _kept(path: Path, make: Callable[[], str]) -> SecretStr:
    """A secret of the home, made on first use. Two processes that race make one, and both read it."""
    remedy = "restore it from a backup, or remove it: a new one is made"
    try:
        secret = read_text(path, remedy).strip()
    except MissingFileError:
        create_once(path, make().encode())
        secret = read_text(path, remedy).strip()
    if len(secret) < _SHORTEST:  # an empty key would sign what anybody can sign
        raise DamagedFileError(path, "is empty or cut", remedy)
    return SecretStr(secret)
