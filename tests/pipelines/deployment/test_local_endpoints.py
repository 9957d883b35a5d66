"""Endpoints of stages on this machine: what is damaged, killed or only slow, and what a pass does about it."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from canary_world import World, make_world

from pipelines.job.deploys import LocalDeploy
from pipelines.services.reconciler import Reconciler
from serving.targets.contract import LiveEndpoint
from serving.targets.local.process import processes_in


@pytest.fixture
def world(make_bundle, picture: Callable[..., bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for limit in ("_START_S", "_ASK_S"):
        monkeypatch.setattr(f"serving.targets.local.target.{limit}", 500.0)
    made = make_world(make_bundle, picture, tmp_path, LocalDeploy(smoke_images=1))
    made.promote(1)
    yield made
    made.targets.local().stop_all()


def record(world: World) -> Path:
    return world.targets.settings.deployments / "colours-production.json"


def live(world: World) -> LiveEndpoint:
    endpoint = world.targets.local().find("colours-production")
    assert endpoint is not None
    return endpoint


def processes(world: World) -> int:
    return len(processes_in(world.targets.settings.deployments / "canary"))


@pytest.mark.parametrize("content", [b"", b'{"name": "co', b"[]", None])
def test_a_pass_heals_a_damaged_record_and_keeps_the_process_that_serves(world: World, content: bytes | None) -> None:
    before = live(world)
    record(world).unlink()
    if content is None:
        record(world).mkdir()
    else:
        record(world).write_bytes(content)
    assert any("brought up to date" in line for line in world.once())
    assert live(world) == before
    assert record(world).is_file()
    assert world.once() == []
    assert processes(world) == 1


@pytest.mark.parametrize("content", [b"", None])
def test_a_pass_brings_back_what_was_killed_whatever_its_record_says(world: World, content: bytes | None) -> None:
    before = live(world)
    os.kill(int(before.handle), signal.SIGKILL)
    if content is not None:
        record(world).write_bytes(content)
    world.once()
    assert live(world).handle != before.handle
    assert world.targets.local().answers(live(world))
    assert processes(world) == 1


def test_a_record_that_is_gone_is_made_anew_and_its_process_does_not_stay_behind(world: World) -> None:
    record(world).unlink()
    world.once()
    assert world.targets.local().answers(live(world))
    assert processes(world) == 1


def test_an_endpoint_that_is_slow_for_a_while_is_left_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before, seconds = live(world), [0.0]
    reconciler = Reconciler(world.parts)
    world_deployer = world.context.hooks
    (deploy, _) = next(hooks for hooks in world_deployer.values() if len(hooks) == 2)
    watch = deploy.deployer.watch  # type: ignore[attr-defined]
    watch.clock = lambda: seconds[0]

    def too_slow(*_: object, **__: object) -> None:
        raise httpx.ReadTimeout("the machine is busy")

    with monkeypatch.context() as busy:
        busy.setattr("serving.targets.local.target.httpx.get", too_slow)
        for _ in range(10):
            assert reconciler.once().acted == []
            seconds[0] += 10
    assert reconciler.once().acted == []
    assert live(world) == before
    assert processes(world) == 1
