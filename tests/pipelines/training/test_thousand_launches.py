"""A thousand launches while everything fails that can: no pod stays, none starts twice, no cap is passed, each outcome is said."""

from __future__ import annotations

import random
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from pod_sim import PodSim

from pipelines.training.launchers import runpod_pods, runpod_secret
from pipelines.training.launchers.archives import unpack
from registry.errors import ModelyardError

RATES = {"429": 0.01, "500": 0.02, "503": 0.01, "dropped": 0.03, "lost": 0.03, "403": 0.01, "502": 0.04}
RATES |= {"402": 0.01, "no-capacity": 0.1, "bad-host": 0.08, "error": 0.05, "dies": 0.15}
LAUNCHES = 1000


class Killed(BaseException):
    """SIGKILL to the client."""


def one_launch(folder: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything that differs is drawn from the seed; the sentence that it ended with."""
    draw = random.Random(seed)  # noqa: S311 not for secrets
    world = PodSim(folder, seed, train_s=draw.choice([60, 300, 1500, 9000]), exit_code=draw.choice([0] * 9 + [3]))
    world.cloud.list_lag_s, world.control.resources.page_most = draw.choice([0, 5, 20]), draw.choice([1, 1000])
    world.control.resources.strangers, world.control.resources.suffix = draw.choice([0, 3]), draw.choice(["", " -fb"])
    world.control.faults.rates, world.control.faults._random = RATES, draw
    world.agents_alive, reconciler = draw.random() < 0.9, world.reaper()
    cap, killed_at = draw.choice([0.08, 0.15, 0.3, 1.0]), draw.expovariate(1 / 900) if draw.random() < 0.15 else 1e18
    began, step = world.clock.now(), world.cloud.advance

    def live(seconds: float) -> None:
        step(seconds)
        if world.clock.now() - began > killed_at:
            raise Killed

    def outcome() -> str:
        world.sleep = live
        try:
            model = world.launch(max_usd=cap, max_minutes=draw.choice([15, 90]), silence_minutes=draw.choice([3, 10]))
        except ModelyardError as error:
            return str(error)
        unpack(model, folder / "out")
        assert (folder / "out/model/weights").read_text() == "trained by torch", seed
        assert world.epochs() == list(range(1, 11)), seed
        return "trained"

    with monkeypatch.context() as patch:
        try:
            said = outcome_of(outcome, world, patch)
        except Killed:
            said = "killed"
    world.sleep = step
    if said != "killed":
        assert not world.cloud.pods, (seed, said)
    for _ in range(12 * 24):  # the reconciler goes on
        if not world.cloud.leaks():
            break
        step(300)
        _reap(reconciler)
    assert world.cloud.leaks() == [], (seed, said)
    assert len(world.started) <= 1, (seed, said)
    assert world.cloud.most_alive <= 1, (seed, said)
    assert world.cloud.spent() <= cap, (seed, said, world.cloud.spent(), cap)
    return said
