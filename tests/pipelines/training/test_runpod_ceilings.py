"""Three ceilings over what a pod costs: the client's, the pod's own and the reconciler's. Each holds with the others dead."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from pod_sim import Killed, PodSim

from pipelines.training.launchers.runpod_secret import expires
from registry.errors import RefusedError

CAP = 0.40
"""At $0.25 an hour: 96 minutes, less than max_minutes allows."""
TERMS = {"gpus": ("NVIDIA RTX A4000",), "max_usd": str(CAP), "max_minutes": 600, "silence_minutes": 1e6}


@pytest.fixture
def world(tmp_path: Path) -> PodSim:
    return PodSim(tmp_path, train_s=1e9)


def dead_client(world: PodSim, **terms: object) -> None:
    """A launch whose client is killed once its pod trains."""
    step = world.cloud.advance

    def live(seconds: float) -> None:
        step(seconds)
        if world.started:
            world.kill_client()

    world.sleep = live
    with pytest.raises(Killed):
        world.launch(**(TERMS | terms))
    assert len(world.cloud.pods) == 1


def test_the_client_alone_ends_the_pod_before_the_cap(world) -> None:
    world.agents_alive = False
    with pytest.raises(RefusedError, match=r"before it would cost or take more than \$0.4000 or 600 minutes"):
        world.launch(**TERMS)
    assert CAP * 0.9 < world.cloud.spent() <= CAP
    assert world.cloud.leaks() == []


def test_the_pod_alone_ends_itself_before_the_cap(world) -> None:
    dead_client(world)
    world.cloud.advance(24 * 3600)
    assert world.cloud.pods == {}
    assert CAP * 0.9 < world.cloud.spent() <= CAP


def test_the_pod_alone_ends_itself_though_runpod_fails_for_a_while(world) -> None:
    dead_client(world)
    world.control.faults.add("500", "^DELETE", times=20)
    world.cloud.advance(24 * 3600)
    assert world.cloud.pods == {}
    assert world.cloud.spent() <= CAP


def test_a_pod_that_nobody_asks_ends_itself_long_before(world) -> None:
    dead_client(world, silence_minutes=10)
    asked_last = world.clock.now()
    world.cloud.advance(3600)
    assert world.cloud.pods == {}
    assert 600 <= world.cloud.gone[0].ended - asked_last < 640


def test_the_reaper_alone_ends_the_pod_before_the_cap(world) -> None:
    world.agents_alive = False
    dead_client(world)
    reaper, lines = world.reaper(), []
    while world.cloud.pods:
        world.cloud.advance(30)
        lines += reaper.reap()
    assert len(lines) == 1
    assert "was past its deadline and is ended ($0.25/h)" in lines[0]
    assert CAP * 0.9 < world.cloud.spent() <= CAP


def test_the_reaper_leaves_alone_what_is_not_ours_or_not_due(world) -> None:
    world.agents_alive = False
    dead_client(world)
    ours = next(iter(world.cloud.pods.values()))
    for name, env in (
        ("theirs", ours.spec["env"]),
        ("modelyard-train-by-hand", {}),
        ("modelyard-train-x", {"MODELYARD_POD_DEADLINE": "soon"}),
    ):
        world.cloud.create(ours.spec | {"name": name, "env": env}, 0.1, "bad-host")
    assert world.reaper().reap() == []
    world.cloud.advance(7 * 86_400, step=3600)
    assert len(world.reaper().reap()) == 1
    assert sorted(pod.spec["name"] for pod in world.cloud.pods.values()) == [
        "modelyard-train-by-hand",
        "modelyard-train-x",
        "theirs",
    ]


def test_the_reaper_forgets_the_token_of_a_launch_that_was_killed(world) -> None:
    dead_client(world)
    world.dead = False
    (secret,) = world.client().secrets()
    assert expires(secret) > world.clock.now()
    world.reaper().reap()
    assert len(world.cloud.secrets) == 1  # it may be needed yet
    world.cloud.secrets["theirs"] = {"id": "theirs", "name": "theirs", "value": "x", "createdAt": "2026-11-26T00:00:00Z"}
    world.cloud.advance(12 * 3600, step=600)
    world.reaper().reap()
    assert list(world.cloud.secrets) == ["theirs"]


def test_a_reaper_asks_once_a_minute_at_most(world) -> None:
    handle, asked = world.control.handle, []
    world.control.handle = lambda ask: (asked.append(ask), handle(ask))[1]
    reaper = world.reaper()
    for _ in range(20):
        reaper.reap()
    assert [ask.path for ask in asked] == ["/v2/pods", "/v2/account/secrets"]
