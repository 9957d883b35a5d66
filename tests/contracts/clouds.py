"""Doubles of the clouds, and targets that know only their addresses."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from registry.errors import IntegrityError
from serving.fakes.boot import booting, mounting
from serving.fakes.clock import VirtualClock
from serving.fakes.http import listening
from serving.fakes.huggingface.app import HuggingFaceDouble, huggingface_double
from serving.fakes.runpod.app import RunPodDouble, runpod_double
from serving.fakes.runpod.paging import Paging
from serving.targets.huggingface.config import HuggingFaceDeploy
from serving.targets.huggingface.endpoints import Endpoints
from serving.targets.huggingface.hub import Hub
from serving.targets.huggingface.target import HuggingFaceTarget
from serving.targets.runpod.client import RunPodClient
from serving.targets.runpod.config import RunPodDeploy
from serving.targets.runpod.target import RunPodTarget
from serving.targets.waiting import Clock

SPEC = Path(__file__).resolve().parents[3] / "shared/specs/runpod-v2.openapi.json"
IMAGE = "docker.io/someone/modelyard-serve:0.1"
START = datetime(2026, 11, 2, tzinfo=UTC)
"""When each test begins: with weeks until the month ends, whatever day it is here."""
NO_HURRY_S = 500.0
"""On loopback an answer that takes long means a busy machine, and never a lost answer."""


def passes(_) -> None:
    """A smoke test."""


def fails(_) -> None:
    raise IntegrityError("endpoint", "answers wrongly", "export again")


@dataclass
class Shelf:
    """A place that a web server shows."""

    folder: Path
    url: str

    @property
    def base(self) -> str:
        return self.url

    def put(self, bundle) -> str:
        shutil.copytree(bundle.folder, self.folder / bundle.index.digest, dirs_exist_ok=True)
        return f"{self.url}/{bundle.index.digest}"

    def check(self) -> str:
        return f"{self.url} answers"


@contextmanager
def shelf(folder: Path) -> Iterator[Shelf]:
    folder.mkdir(parents=True, exist_ok=True)
    with listening(Starlette(routes=[Mount("/", StaticFiles(directory=folder))])) as url:
        yield Shelf(folder, url)


@dataclass
class RunPodWorld:
    double: RunPodDouble
    url: str
    clock: VirtualClock
    shelf: Shelf

    def client(self, key: str = "rpa_double") -> RunPodClient:
        return RunPodClient(SecretStr(key), self.url, sleep=self.clock.advance, timeout_s=NO_HURRY_S)

    def target(self, **config) -> RunPodTarget:
        usual = {"image": IMAGE, "bundles": "https://bundles.invalid", "pools": ("AMPERE_16", "AMPERE_24")}
        usual |= {"account_workers": self.double.cloud.quota}
        patience = Clock(self.clock.now, self.clock.advance)
        return RunPodTarget(self.client(), RunPodDeploy(**(usual | config)), self.shelf, patience, self.today)

    def today(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now(), UTC)

    def names(self) -> list[str]:
        return sorted(endpoint.spec["name"] for endpoint in self.double.cloud.endpoints.values())

    def leaks(self) -> list[str]:
        """Endpoints that should not be there: tried out and left, or doubled."""
        names = self.names()
        return [name for name in names if name.endswith("-next") or names.count(name) > 1]


@contextmanager
def runpod_world(folder: Path) -> Iterator[RunPodWorld]:
    """The client's pauses are drawn from a seed: they move the clock, and so what each worker is billed."""
    clock, pauses = VirtualClock(start=START.timestamp()), random.Random(0)  # noqa: S311 it keeps no secret
    double = runpod_double(booting(folder / "workers"), clock, spec=SPEC if SPEC.exists() else None)
    seeded = patch("serving.targets.runpod.transport.random", pauses)
    patient = patch("serving.targets.runpod.requests._TIMEOUT_S", NO_HURRY_S)
    with seeded, patient, shelf(folder / "shelf") as kept, listening(double.app) as url:
        double.control.url, double.control.open_s = url, 1.0
        double.cloud.quota, double.cloud.suffix = 100, " -fb"
        double.control.paging = Paging(most=3, strangers=1)
        yield RunPodWorld(double, url, clock, kept)


@dataclass
class HuggingFaceWorld:
    double: HuggingFaceDouble
    url: str
    clock: VirtualClock

    def hub(self, token: str = "hf_double") -> Hub:
        return Hub(SecretStr(token), self.url, sleep=self.clock.advance)

    def target(self, **config) -> HuggingFaceTarget:
        endpoints = Endpoints(self.hub(), "me", f"{self.url}/ie-api")
        usual = {"repository": "me/hand"}
        return HuggingFaceTarget(endpoints, HuggingFaceDeploy(**(usual | config)), Clock(self.clock.now, self.clock.advance))

    def leaks(self) -> list[str]:
        """Endpoints that should not be there."""
        return [name for name in self.double.account.endpoints if name.endswith("-next")]


@contextmanager
def huggingface_world(folder: Path) -> Iterator[HuggingFaceWorld]:
    clock = VirtualClock(start=START.timestamp())
    double = huggingface_double(mounting, folder / "repositories", clock)
    limits = ("hub._TIMEOUT_S", "endpoints._TIMEOUT_S", "requests._TIMEOUT_S")
    with ExitStack() as patches, listening(double.app) as url:
        for limit in limits:
            patches.enter_context(patch(f"serving.targets.huggingface.{limit}", NO_HURRY_S))
        double.account.url = url
        yield HuggingFaceWorld(double, url, clock)
