"""The double's state: repositories with their commits, and endpoints of them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from serving.fakes.clock import VirtualClock, begun, stamp
from serving.fakes.runpod.state import Program

USD_PER_HOUR = 0.034
"""For one replica: an example price, the listed one of `intel-spr x1`."""


@dataclass
class Commit:
    """The files of a repository at one moment: path → oid of its bytes."""

    oid: str
    files: dict[str, str]
    title: str


@dataclass
class Repository:
    """A model or a Space."""

    id: str
    kind: str
    private: bool
    commits: list[Commit] = field(default_factory=list[Commit])

    @property
    def head(self) -> Commit:
        """The newest commit."""
        return self.commits[-1]

    def at(self, revision: str) -> Commit | None:
        """A commit by its name; `main` is the newest."""
        return self.head if revision == "main" else next((commit for commit in self.commits if commit.oid == revision), None)


@dataclass
class Span:
    """Replicas that ran, billed by the minute."""

    replicas: int
    began: float
    ended: float | None = None

    def usd(self, now: float) -> float:
        """Its cost."""
        return begun((self.ended or now) - self.began, 60) * self.replicas * USD_PER_HOUR / 60


@dataclass
class Endpoint:
    """An Inference Endpoint."""

    spec: dict[str, Any]
    created: float
    updated: float
    ready: float
    used: float
    url: str
    program: Program | None = None
    next_program: Program | None = None
    failed: str = ""
    serial: int = 1
    spans: list[Span] = field(default_factory=list[Span])
    stuck: bool = False


@dataclass
class Account:
    """One user's."""

    clock: VirtualClock
    mount: Callable[[Path], Program]
    scratch: Path
    owner: str = "me"
    boot_s: float = 40.0
    url: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict[str, bytes])
    repositories: dict[tuple[str, str], Repository] = field(default_factory=dict[tuple[str, str], Repository])
    endpoints: dict[str, Endpoint] = field(default_factory=dict[str, Endpoint])
    deleted: list[Endpoint] = field(default_factory=list[Endpoint])

    def keep(self, data: bytes) -> str:
        """Store bytes; returns their oid."""
        oid = hashlib.sha256(data).hexdigest()
        self.blobs[oid] = data
        return oid

    def commit(self, repository: Repository, files: dict[str, str], title: str = "initial commit") -> Commit:
        """Another commit with these files. The first one's title is what Hugging Face gives it."""
        parent = repository.head.oid if repository.commits else ""
        name = hashlib.sha1(f"{parent}{json.dumps(files, sort_keys=True)}{len(repository.commits)}".encode()).hexdigest()  # noqa: S324
        commit = Commit(name, files, title)
        repository.commits.append(commit)
        return commit

    def deploy(self, spec: dict[str, Any], fault: str | None) -> Endpoint:
        """A new endpoint, which starts at once."""
        now = self.clock.now()
        name = spec["name"]
        endpoint = Endpoint(spec, now, now, now + self.boot_s, now, f"{self.url}/ie/{name}", stuck=fault == "stuck")
        endpoint.spans.append(Span(1, now))
        endpoint.program = self._load(endpoint, fault)
        self.endpoints[name] = endpoint
        return endpoint

    def change(self, endpoint: Endpoint, changes: dict[str, Any], fault: str | None) -> None:
        """A rolling update: the old revision serves until the new one is ready, or stays if that fails."""
        now = self.clock.now()
        self.settle(endpoint)
        for part in ("compute", "model"):
            endpoint.spec[part] = _merged(endpoint.spec[part], changes.get(part) or {})
        endpoint.updated, endpoint.ready, endpoint.failed = now, now + self.boot_s, ""
        endpoint.serial += 1
        endpoint.next_program = self._load(endpoint, fault)
        if not endpoint.spans or endpoint.spans[-1].ended is not None:
            endpoint.spans.append(Span(1, now))

    def delete(self, name: str) -> None:
        """End it, and bill it until now."""
        endpoint = self.endpoints.pop(name)
        self.settle(endpoint)
        self._stop(endpoint, self.clock.now())
        self.deleted.append(endpoint)

    def settle(self, endpoint: Endpoint) -> None:
        """Advance an endpoint to the current time."""
        now = self.clock.now()
        if endpoint.next_program and now >= endpoint.ready:
            endpoint.program, endpoint.next_program = endpoint.next_program, None
        scaling = endpoint.spec["compute"]["scaling"]
        quiet = (scaling.get("scaleToZeroTimeout") or math.inf) * 60
        end = max(endpoint.used, endpoint.ready) + quiet
        if scaling["minReplica"] == 0 and now >= end and not endpoint.failed:
            self._stop(endpoint, end)

    def state(self, endpoint: Endpoint) -> str:
        """Its state in Hugging Face's words."""
        self.settle(endpoint)
        if endpoint.failed:
            return "updateFailed" if endpoint.program else "failed"
        if endpoint.spans[-1].ended is not None:
            return "scaledToZero"
        if endpoint.stuck or self.clock.now() < endpoint.ready:
            return "updating" if endpoint.serial > 1 and endpoint.program else "initializing"
        return "running"

    def take(self, endpoint: Endpoint) -> Program | None:
        """The program that answers now; a sleeping endpoint is woken and answers later."""
        state, now = self.state(endpoint), self.clock.now()
        endpoint.used = now
        if state == "scaledToZero":
            endpoint.spans.append(Span(1, now))
            endpoint.ready = now + self.boot_s
            return None
        return endpoint.program if state in {"running", "updating", "updateFailed"} else None

    def spent(self) -> float:
        """US dollars spent on all endpoints."""
        for endpoint in self.endpoints.values():
            self.settle(endpoint)
        every = [*self.endpoints.values(), *self.deleted]
        return sum(span.usd(self.clock.now()) for endpoint in every for span in endpoint.spans)

    def shown(self, endpoint: Endpoint) -> dict[str, Any]:
        """As the API shows it."""
        state = self.state(endpoint)
        status = {
            "state": state,
            "createdAt": stamp(endpoint.created),
            "updatedAt": stamp(endpoint.updated),
            "message": endpoint.failed,
        }
        status |= {"url": endpoint.url} if state not in {"pending", "failed"} else {}
        model = {"revision": None, "task": None, "env": {}} | endpoint.spec["model"]
        return endpoint.spec | {"model": model, "status": status, "healthRoute": "/health", "type": endpoint.spec["type"]}

    def _load(self, endpoint: Endpoint, fault: str | None) -> Program | None:
        """Start what the model part names."""
        model = endpoint.spec["model"]
        commit = self.repositories[("model", model["repository"])].at(model.get("revision") or "main")
        if fault == "unhealthy" or commit is None:
            endpoint.failed = "container exited with exit code 1"
            return None
        try:
            return self.mount(self._laid_out(commit))
        except Exception as error:  # noqa: BLE001 whatever a container raises
            endpoint.failed = f"container exited: {error}"
            return None

    def _laid_out(self, commit: Commit) -> Path:
        """A folder with a commit's files: what is mounted at /repository."""
        folder = self.scratch / commit.oid
        for name, oid in commit.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(self.blobs[oid])
        return folder

    def _stop(self, endpoint: Endpoint, at: float) -> None:
        if endpoint.spans and endpoint.spans[-1].ended is None:
            endpoint.spans[-1].ended = max(at, endpoint.spans[-1].began)


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What is named is replaced; of scaling, what is named within it."""
    scaling = {**old.get("scaling", {}), **new["scaling"]} if new.get("scaling") else old.get("scaling")
    return {**old, **new} | ({"scaling": scaling} if scaling else {})
