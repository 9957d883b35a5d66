"""A thousand launches while everything fails that can: no pod stays, none starts twice, no cap is passed, each outcome is said."""

from __future__ import annotations

import random
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from pod_sim import Killed, PodSim

from pipelines.training.launchers.archives import unpack
from registry.errors import ModelyardError

RATES = {"429": 0.01, "500": 0.02, "503": 0.01, "dropped": 0.03, "lost": 0.03, "403": 0.01, "502": 0.04}
RATES |= {"402": 0.01, "no-capacity": 0.1, "bad-host": 0.08, "error": 0.05, "dies": 0.15}
LAUNCHES = 1000


def world_of(folder: Path, seed: int, draw: random.Random) -> PodSim:
    """Everything that differs between two launches is drawn from the seed."""
    world = PodSim(folder, seed, train_s=draw.choice([60, 300, 900, 9000]), exit_code=draw.choice([0] * 9 + [3]))
    world.cloud.list_lag_s, world.control.resources.paging.most = draw.choice([0, 5, 20]), draw.choice([2, 1000])
    world.control.resources.paging.strangers, world.control.resources.suffix = draw.choice([0, 2]), draw.choice(["", " -fb"])
    world.control.faults.rates, world.control.faults._random = RATES, draw
    world.agents_alive = draw.random() < 0.9
    killed_at = world.clock.now() + draw.expovariate(1 / 600) if draw.random() < 0.2 else None
    reaper, watched = world.reaper(), draw.random() < 0.1

    def live(seconds: float) -> None:
        world.cloud.advance(seconds)
        if killed_at and world.clock.now() > killed_at:
            world.kill_client()
        if watched:  # by a reconciler beside it
            with suppress(ModelyardError):
                reaper.reap()

    world.sleep = live
    return world


def outcome(world: PodSim, seed: int, **launch: object) -> str:
    """The sentence that a launch ended with."""
    try:
        model = world.launch(**launch)
    except ModelyardError as error:
        return f"{type(error).__name__}: {error.subject}"
    except Killed:
        return "killed"
    unpack(model, world.folder / "out")
    assert (world.folder / "out/model/weights").read_text() == "trained by torch", seed
    assert world.epochs() == list(range(1, 11)), seed
    return "trained"


def test_a_thousand_launches_leave_no_pod_start_none_twice_and_pass_no_cap(tmp_path: Path) -> None:
    outcomes = Counter[str]()
    for seed in range(LAUNCHES):
        draw = random.Random(seed)  # noqa: S311 not for secrets
        world, cap = world_of(tmp_path / str(seed), seed, draw), draw.choice([0.08, 0.15, 0.3, 1.0])
        ended = outcome(world, seed, max_usd=cap, max_minutes=draw.choice([15, 90]), silence_minutes=draw.choice([3, 10]))
        if ended != "killed":
            assert world.cloud.leaks() == [], (seed, ended)
        reaper = world.reaper()
        for _ in range(4 * 60):  # the reconciler goes on, a pass a minute
            if not world.cloud.leaks():
                break
            world.cloud.advance(60)
            with suppress(ModelyardError):
                reaper.reap()
        assert world.cloud.leaks() == [], (seed, ended)
        assert len(world.started) <= 1, (seed, ended)
        assert world.cloud.most_alive <= 1, (seed, ended)
        assert world.cloud.spent() <= cap, (seed, ended, world.cloud.spent(), cap)
        outcomes[ended] += 1
    assert sum(outcomes.values()) == LAUNCHES
    assert outcomes["trained"] > LAUNCHES / 5, outcomes
    assert len(outcomes) > 5, outcomes
