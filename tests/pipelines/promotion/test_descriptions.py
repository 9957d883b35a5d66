"""MLflow's pages say what was decided and done, whoever did it by hand; and what goes wrong with them stops nothing."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.job.policy import JobChoice, set_policy
from pipelines.promotion.assemble import assemble
from pipelines.promotion.decide import rollback
from pipelines.promotion.follow import deploy_by_policy, export_by_policy
from registry.errors import RefusedError, UnavailableError
from registry.events import Deployed, Exported, about
from registry.records import Actor
from registry.refs import Ref
from registry.stages import Stage

sys.path.insert(0, str(Path(__file__).parent))
from policy_world import World, job, make_world


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """Two versions, of which the first is good enough."""
    made = make_world(tmp_path, monkeypatch)
    set_policy(made.home.ledger(), job(0.9), Actor("ada"))
    return made


def shown(world: World, number: int = 1) -> str:
    return world.store.description("hand", number).replace("&ensp;", "")


def test_a_promotion_a_refusal_and_an_archiving_are_on_the_versions_pages(world: World) -> None:
    world.promote(1)
    assert "| stage | staging |" in shown(world)
    assert "top1 0.95 is at least 0.9" in shown(world)
    with pytest.raises(RefusedError):
        world.promote(2)
    assert "✗ refused" in shown(world, 2)
    assert "top1 0.5 is below 0.9" in shown(world, 2)
    world.promote(1, stage=Stage.ARCHIVED)
    assert "| stage | archived |" in shown(world)


def test_a_deployment_and_an_export_by_hand_are_on_the_versions_page(world: World) -> None:
    world.promote(1)
    parts, key = assemble(world.home, world.say), about(world.store.versions("hand")[0], "d")
    fields: dict[str, Any] = {"bundle": "b", "usd_per_month": Decimal(3), "price_as_of": "x", "smoke_images": 3}
    deployed = Deployed(**key, stage=Stage.STAGING, target="local", url="http://127.0.0.1:8080", **fields)
    exported = Exported(**key, bundle="b", path="p", megabytes=3.2, parity=[], latency=None)

    def recording(event: Any) -> Any:
        return lambda *_: world.home.ledger().append(event).event

    vars(parts)["deployer"] = SimpleNamespace(deploy=recording(deployed))
    vars(parts)["exporter"] = SimpleNamespace(export=recording(exported))
    deploy_by_policy(parts, Ref("hand", 1), Stage.STAGING, JobChoice())
    assert "- Its endpoint for staging on local, `http://127.0.0.1:8080`" in shown(world)
    assert "3.2 MB" not in shown(world)
    export_by_policy(parts, Ref("hand", 1), JobChoice(), ())
    assert "3.2 MB" in shown(world)


def test_a_promotion_stands_whatever_goes_wrong_with_its_description(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise UnavailableError("MLflow server", "does not answer", "start it")

    monkeypatch.setattr(world.store, "describe", away)
    assert world.promote(1).promotion.version == 1
    assert any("description of hand in MLflow could not be written" in line for line in world.lines)
    with pytest.raises(RefusedError):
        world.promote(2)
    with pytest.raises(Exception, match="was not in staging before"):
        rollback(world.home, "hand", Stage.STAGING, 2, world.say)
