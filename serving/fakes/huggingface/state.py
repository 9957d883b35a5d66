"""What the double remembers: repositories with their commits, and endpoints around them."""

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

USD_PER_HOUR = 0.033
"""For one replica: a figure to reckon with."""


@dataclass
class Commit:
    """The files of a repository at one moment: path → oid of its bytes."""

    oid: str
    files: dict[str, str]


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
        return self.head if revision == "main" else next((one for one in self.commits if one.oid == revision), None)


@dataclass
class Span:
    """Replicas that ran, and were paid by the minute."""

    replicas: int
    began: float
    ended: float | None = None

    def usd(self, now: float) -> float:
        """Its cost."""
        return begun((self.ended or now) - self.began, 60) * self.replicas * USD_PER_HOUR / 60


@dataclass
class Endpoint:
    """An Inference Endpoint."""

    told: dict[str, Any]
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
        """Remember bytes; their oid."""
        oid = hashlib.sha256(data).hexdigest()
        self.blobs[oid] = data
        return oid

    def commit(self, repository: Repository, files: dict[str, str]) -> Commit:
        """Another commit with these files."""
        parent = repository.head.oid if repository.commits else ""
        name = hashlib.sha1(f"{parent}{json.dumps(files, sort_keys=True)}{len(repository.commits)}".encode()).hexdigest()  # noqa: S324
        found = Commit(name, files)
        repository.commits.append(found)
        return found

    def deploy(self, told: dict[str, Any], fault: str | None) -> Endpoint:
        """A new endpoint, which starts at once."""
        now = self.clock.now()
        name = told["name"]
        one = Endpoint(told, now, now, now + self.boot_s, now, f"{self.url}/ie/{name}", stuck=fault == "stuck")
        one.spans.append(Span(1, now))
        one.program = self._load(one, fault)
        self.endpoints[name] = one
        return one

    def change(self, one: Endpoint, changes: dict[str, Any], fault: str | None) -> None:
        """A rolling update: what serves goes on until the new one is ready, or for ever where that fails."""
        now = self.clock.now()
        self.settle(one)
        for part in ("compute", "model"):
            one.told[part] = _merged(one.told[part], changes.get(part) or {})
        one.updated, one.ready, one.failed = now, now + self.boot_s, ""
        one.serial += 1
        one.next_program = self._load(one, fault)
        if not one.spans or one.spans[-1].ended is not None:
            one.spans.append(Span(1, now))

    def delete(self, name: str) -> None:
        """It ends, and is paid until now."""
        one = self.endpoints.pop(name)
        self.settle(one)
        self._stop(one, self.clock.now())
        self.deleted.append(one)

    def settle(self, one: Endpoint) -> None:
        """Bring an endpoint up to now."""
        now = self.clock.now()
        if one.next_program and now >= one.ready:
            one.program, one.next_program = one.next_program, None
        scaling = one.told["compute"]["scaling"]
        quiet = (scaling.get("scaleToZeroTimeout") or math.inf) * 60
        end = max(one.used, one.ready) + quiet
        if scaling["minReplica"] == 0 and now >= end and not one.failed:
            self._stop(one, end)

    def state(self, one: Endpoint) -> str:
        """In Hugging Face's words."""
        self.settle(one)
        if one.failed:
            return "updateFailed" if one.program else "failed"
        if one.spans[-1].ended is not None:
            return "scaledToZero"
        if one.stuck or self.clock.now() < one.ready:
            return "updating" if one.serial > 1 and one.program else "initializing"
        return "running"

    def take(self, one: Endpoint) -> Program | None:
        """What answers now; an endpoint that sleeps is woken and answers later."""
        state, now = self.state(one), self.clock.now()
        one.used = now
        if state == "scaledToZero":
            one.spans.append(Span(1, now))
            one.ready = now + self.boot_s
            return None
        return one.program if state in {"running", "updating", "updateFailed"} else None

    def spent(self) -> float:
        """US dollars, for all that ever was."""
        for one in self.endpoints.values():
            self.settle(one)
        every = [*self.endpoints.values(), *self.deleted]
        return sum(span.usd(self.clock.now()) for one in every for span in one.spans)

    def shown(self, one: Endpoint) -> dict[str, Any]:
        """As the API shows it."""
        state = self.state(one)
        status = {"state": state, "createdAt": stamp(one.created), "updatedAt": stamp(one.updated), "message": one.failed}
        status |= {"url": one.url} if state not in {"pending", "failed"} else {}
        model = {"revision": None, "task": None, "env": {}} | one.told["model"]
        return one.told | {"model": model, "status": status, "healthRoute": "/health", "type": one.told["type"]}

    def _load(self, one: Endpoint, fault: str | None) -> Program | None:
        """Start what the model part names."""
        model = one.told["model"]
        commit = self.repositories[("model", model["repository"])].at(model.get("revision") or "main")
        if fault == "unhealthy" or commit is None:
            one.failed = "container exited with exit code 1"
            return None
        try:
            return self.mount(self._laid_out(commit))
        except Exception as error:  # noqa: BLE001 whatever a container dies of
            one.failed = f"container exited: {error}"
            return None

    def _laid_out(self, commit: Commit) -> Path:
        """A folder with a commit's files: what is mounted at /repository."""
        place = self.scratch / commit.oid
        for name, oid in commit.files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(self.blobs[oid])
        return place

    def _stop(self, one: Endpoint, at: float) -> None:
        if one.spans and one.spans[-1].ended is None:
            one.spans[-1].ended = max(at, one.spans[-1].began)


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What is named is replaced; of scaling, what is named within it."""
    scaling = {**old.get("scaling", {}), **new["scaling"]} if new.get("scaling") else old.get("scaling")
    return {**old, **new} | ({"scaling": scaling} if scaling else {})
