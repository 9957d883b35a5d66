"""The client's side of the agent in a pod: sends the data, follows the lines, fetches the model, through RunPod's proxy.

The proxy is public, slow and sometimes away: each request is small, carries the launch's token, and is repeated from where
the last one got to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from pipelines.training.launchers.archives import PIECE, Archive
from registry.errors import DeniedError, IntegrityError, ModelyardError, RefusedError, UnavailableError, shorten
from registry.files import storing
from serving.targets.waiting import Clock, tls

PORT = 8000
_TIMEOUT_S = 90.0
_PAUSE_S = 2.0
_LONGEST_PAUSE_S = 15.0
T = TypeVar("T")


class Offer(BaseModel):
    """The model that a pod hands out."""

    model_config = ConfigDict(frozen=True)
    sha256: str
    bytes: int


class News(BaseModel):
    """What a pod does now."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    state: Literal["waiting", "training", "finished", "failed"]
    detail: str = ""
    lines: tuple[str, ...] = ()
    more: bool = False
    received: int = 0
    protected: bool | None = None
    model: Offer | None = None


@dataclass
class PodLink:
    """One pod's agent. `check` raises when the launch must stop; it is asked before each repetition."""

    base: str
    token: SecretStr
    clock: Clock
    check: Callable[[], None]
    transport: httpx.BaseTransport | None = None
    patience_s: float = 180.0

    def __post_init__(self) -> None:
        """Nothing is sent yet."""
        headers = {"Authorization": f"Bearer {self.token.get_secret_value()}", "User-Agent": "modelyard"}
        options: dict[str, Any] = {"transport": self.transport} if self.transport else {"verify": tls()}
        self._http = httpx.Client(base_url=self.base, headers=headers, timeout=_TIMEOUT_S, **options)

    def close(self) -> None:
        """No more requests."""
        self._http.close()

    def follow(self, after: int) -> News:
        """What it does, and its lines from there on; asked once. Raises UnavailableError where it does not answer."""
        answer = self._ask("GET", "/lines", {"after": after})
        try:
            return News.model_validate_json(answer.content)
        except ValidationError as error:
            raise UnavailableError("pod", "answers what is no news of ours", "use the image of this version") from error

    def send(self, archive: Archive) -> None:
        """Bring the data there. What is there already is not sent again."""
        received = self._persist(lambda: self.follow(0)).received
        while received < archive.size:
            piece, offset = archive.piece(received, PIECE), received
            answer = self._persist(lambda piece=piece, offset=offset: self._ask("PUT", "/data", {"offset": offset}, piece))
            arrived = int(_document(answer).get("received", -1))
            if not offset <= arrived <= archive.size:
                raise IntegrityError("pod", f"has {arrived} of {archive.size} bytes of another archive", "run it again")
            if answer.is_success or arrived != offset:  # 409: a piece whose answer was lost is there
                received = arrived

    def train(self, archive: Archive, job: Mapping[str, object], deadline: float) -> None:
        """Start the training. Raises RefusedError for a pod that could not end itself, IntegrityError for data that changed."""
        order = {"sha256": archive.sha256, "bytes": archive.size, "job": dict(job), "deadline": deadline}
        body = json.dumps(order).encode()
        answer = self._persist(lambda: self._ask("POST", "/train", {}, body))
        if answer.status_code == HTTPStatus.FORBIDDEN:
            why = f"could not end itself: {shorten(_document(answer).get('detail'), 200)}"
            raise RefusedError("pod", why, "name a RunPod secret with a key that may, as `launch: {key_secret: …}`")
        if not answer.is_success:
            raise IntegrityError(
                "pod", f"did not take the job: {shorten(_document(answer).get('detail'), 200)}", "run it again"
            )

    def fetch(self, offer: Offer, path: Path) -> Archive:
        """Fetch the model. What an earlier try brought is not fetched again; its digest is checked when it is unpacked."""
        with storing(path), path.open("wb") as file:
            while (offset := file.tell()) < offer.bytes:
                piece = self._persist(lambda offset=offset: self._ask("GET", "/model", {"offset": offset})).content
                if not piece or offset + len(piece) > offer.bytes:
                    raise IntegrityError("pod", "hands out another model than it announced", "run it again")
                file.write(piece)
        return Archive(path, offer.sha256, offer.bytes)

    def _persist(self, ask: Callable[[], T]) -> T:
        """Ask again and again while the pod is away, for so long at most."""
        began, pause = self.clock.now(), _PAUSE_S
        while True:
            self.check()
            try:
                return ask()
            except UnavailableError:
                if self.clock.now() - began > self.patience_s:
                    raise
            self.clock.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE_S)

    def _ask(self, method: str, path: str, query: Mapping[str, int], body: bytes = b"") -> httpx.Response:
        """An answer of the agent itself; a page of the proxy's is none."""
        try:
            answer = self._http.request(method, path, params=dict(query), content=body)
        except httpx.HTTPError as error:
            raise UnavailableError("pod", f"does not answer ({type(error).__name__})", "see RunPod's console") from error
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise DeniedError("pod", "does not take the launch's token", "run it again")
        is_page = "html" in answer.headers.get("content-type", "")
        if is_page or answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status_code == HTTPStatus.NOT_FOUND:
            raise UnavailableError("pod", f"does not answer yet ({answer.status_code})", "see RunPod's console")
        if method == "GET" and not answer.is_success:
            raise ModelyardError("pod", f"refuses {path}: {shorten(_document(answer).get('detail'), 200)}", "run it again")
        return answer


def _document(answer: httpx.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
