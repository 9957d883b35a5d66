"""The control plane of pods, and the proxy in front of their ports: what RunPod accepts, refuses and loses."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.fakes.faults import Faults
from serving.fakes.plain import CUT, Answer, Ask, refuse
from serving.fakes.runpod.pods.limits import Limits
from serving.fakes.runpod.pods.resources import NO_CAPACITY, Resources
from serving.fakes.runpod.pods.state import FATES, PodCloud, scoped_key

_ANY = frozenset({"429", "500", "503", "dropped"})
_CHANGES = _ANY | {"lost", "403"}
_CREATES = _CHANGES | FATES | {"402", "no-capacity"}
_PROXY = frozenset({"502", "dropped", "lost"})
KINDS = _CREATES | _PROXY
"""Every kind of fault."""
_LARGEST = 102_400
_PROXY_BYTES = 100_000_000
_PROXIED = re.compile(r"/proxy/(?P<pod>\w+)-(?P<port>\d+)(?P<path>/.*)")


@dataclass
class PodControl:
    """Answers requests: `/v2/pods` and what belongs to it, and `/proxy/POD-PORT/...`."""

    cloud: PodCloud
    faults: Faults = field(default_factory=lambda: Faults(KINDS))
    key: str = "rpa_double"
    scoped_may_delete: bool = True
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        """One request to the control plane at a time."""
        self._lock = threading.RLock()
        self.resources = Resources(self.cloud)

    def handle(self, ask: Ask) -> Answer:
        """Any request."""
        if match := _PROXIED.fullmatch(ask.path):
            return self._proxied(ask, match["pod"], int(match["port"]), match["path"])
        with self._lock:
            return self._controlled(ask)

    def _controlled(self, ask: Ask) -> Answer:
        self.cloud.settle()
        if (ask.method, ask.path) == ("POST", "/v2/pods") and len(ask.body) > _LARGEST:
            return refuse(413, f"the request body is over {_LARGEST} bytes")  # before authentication, as there
        key = ask.headers.get("authorization", "").removeprefix("Bearer ")
        own = next((pod for pod in self.cloud.pods if key == scoped_key(pod)), None)
        if key != self.key and own is None:
            return refuse(401, "the API key is missing or wrong")
        if limited := self.limits.refuse(self.cloud.clock.now()):
            return limited
        fault = self.faults.next(f"{ask.method} {ask.path}", self._kinds(ask))
        if answer := self._failed(fault):
            return answer
        if own is not None and (denied := self._scoped(ask, own)):
            return denied
        answer = self.resources.answer(ask, fault if fault in FATES else "")
        return CUT if fault == "lost" else answer

    @staticmethod
    def _kinds(ask: Ask) -> frozenset[str]:
        if (ask.method, ask.path) == ("POST", "/v2/pods"):
            return _CREATES
        return _ANY if ask.method == "GET" else _CHANGES

    def _failed(self, fault: str | None) -> Answer | None:
        """What a fault answers in place of the account."""
        if fault == "dropped":
            return CUT
        if fault == "429":
            self.limits.exhaust(self.cloud.clock.now(), self.cloud.random)
            return self.limits.refuse(self.cloud.clock.now())
        if fault == "403":
            return Answer(403, b"error code: 1010", {"content-type": "text/plain"})
        if fault == "402":
            return refuse(402, "the account's balance is too low")
        if fault == "no-capacity":
            return refuse(400, NO_CAPACITY)
        return refuse(int(fault), "as this double was told") if fault in {"500", "503"} else None

    def _scoped(self, ask: Ask, own: str) -> Answer | None:
        """What a pod's own key may not do: it reads and ends its own pod."""
        number = ask.path.removeprefix("/v2/pods/")
        if ask.method == "GET" and number == own:
            return None
        if ask.method == "DELETE" and self.scoped_may_delete and (number == own or number not in self.cloud.pods):
            return None
        return refuse(403, "the key may not do this")

    def _proxied(self, ask: Ask, number: str, port: int, path: str) -> Answer:
        """A request to a container's port, which must be published; the way there fails as any network does."""
        with self._lock:
            self.cloud.settle()
            pod = self.cloud.pods.get(number)
        fault = self.faults.next(f"PROXY {ask.method} {path}", _PROXY)
        if fault == "dropped":
            return CUT
        if pod is None or pod.container is None or pod.failed or f"{port}/http" not in pod.spec.get("ports", ()):
            return _page(404)
        if fault == "502":
            return _page(502)
        if len(ask.body) > _PROXY_BYTES:
            return _page(413)
        answer = pod.container.ask(Ask(ask.method, path, ask.query, _onward(ask.headers), ask.body))
        return CUT if fault == "lost" else answer


def _page(status: int) -> Answer:
    """What the proxy says itself is a page."""
    return Answer(status, f"<html><body>{status}</body></html>".encode(), {"content-type": "text/html"})


def _onward(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that a container sees."""
    return {name: value for name, value in headers.items() if name not in {"host", "connection", "accept-encoding"}}
